-- A page of upstreams, by id.
-- $1 fleet  $2 state, null for all but the deleted ones  $3 id to go on after, or null  $4 rows at most, null for all
select
  id,
  name,
  provider,
  state,
  host,
  port,
  egress_ip,
  labels,
  ejected,
  quarantined,
  credentials,
  zone,
  added_by,
  row_version,
  created_at,
  updated_at,
  deleted_at,
  deleted_by
from upstreams
where fleet = $1
  and (state = $2::text or ($2::text is null and state <> 'deleted'))
  and ($3::text is null or id > $3::text)
order by id
limit $4
