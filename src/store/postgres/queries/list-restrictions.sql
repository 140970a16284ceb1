-- A page of restrictions, in the order in which they were added.
-- $1 fleet  $2 place to go on after, 0 at first  $3 rows at most, null for all
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
  and place > $2
order by place
limit $3
