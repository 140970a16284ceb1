-- All restrictions of the fleet, in the order in which they were added.
-- $1 fleet
select
  id,
  kind,
  type,
  institution,
  selector,
  overflow,
  source,
  place,
  created_at,
  updated_at
from restrictions
where fleet = $1
order by place
