-- One restriction.
-- $1 fleet  $2 id
select
  id,
  kind,
  type,
  institution,
  selector,
  overflow,
  targets,
  report,
  source,
  place,
  created_at,
  updated_at
from restrictions
where fleet = $1
  and id = $2
