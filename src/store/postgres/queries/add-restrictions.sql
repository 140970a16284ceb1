-- Adds restrictions in the order of the list. Answers the ids that were free.
-- $1 fleet  $2 JSON list of restrictions, keys as the columns and `position` in the list
-- $3 time of the change (ISO 8601)
insert into restrictions (
  fleet,
  id,
  kind,
  type,
  institution,
  selector,
  overflow,
  targets,
  report,
  source,
  created_at,
  updated_at
)
select
  $1,
  added.id,
  added.kind,
  added.type,
  added.institution,
  added.selector,
  added.overflow,
  added.targets,
  added.report,
  added.source,
  $3::timestamptz,
  $3::timestamptz
from jsonb_to_recordset($2::text::jsonb) as added (
  position integer,
  id text,
  kind text,
  type text,
  institution text,
  selector jsonb,
  overflow boolean,
  targets jsonb,
  report boolean,
  source text
)
order by added.position
on conflict (fleet, id) do nothing
returning id
