-- One upstream, deleted or not.
-- $1 fleet  $2 id
select *
from upstreams
where fleet = $1
  and id = $2
