-- What jobs say of their upstreams, in the order of the list. One that is there already is passed over.
-- $1 fleet  $2 JSON list of reports, keys as the columns and `position` in the list; `at` null is now
insert into job_reports (
  fleet,
  id,
  at,
  job_id,
  type,
  institution,
  upstream,
  outcome,
  actor
)
select
  $1,
  added.id,
  coalesce(added.at, now()),
  added.job_id,
  added.type,
  added.institution,
  added.upstream,
  added.outcome,
  added.actor
from jsonb_to_recordset($2::text::jsonb) as added (
  position integer,
  id uuid,
  at timestamptz,
  job_id text,
  type text,
  institution text,
  upstream text,
  outcome text,
  actor text
)
order by added.position
on conflict (fleet, id) do nothing
