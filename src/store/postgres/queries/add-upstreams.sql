-- Adds upstreams. Answers the ids that were free: one that is missing is taken, by a tombstone perhaps.
-- $1 fleet  $2 JSON list of upstreams, keys as the columns  $3 time of the change (ISO 8601)
insert into upstreams (
  fleet,
  id,
  name,
  provider,
  zone,
  labels,
  host,
  port,
  egress_ip,
  credentials,
  state,
  ejected,
  quarantined,
  added_by,
  created_at,
  updated_at
)
select
  $1,
  added.id,
  added.name,
  added.provider,
  added.zone,
  added.labels,
  added.host,
  added.port,
  added.egress_ip,
  added.credentials,
  added.state,
  added.ejected,
  added.quarantined,
  added.added_by,
  $3::timestamptz,
  $3::timestamptz
from jsonb_to_recordset($2::text::jsonb) as added (
  id text,
  name text,
  provider text,
  zone text,
  labels jsonb,
  host text,
  port integer,
  egress_ip text,
  credentials text,
  state text,
  ejected boolean,
  quarantined boolean,
  added_by text
)
on conflict (fleet, id) do nothing
returning id
