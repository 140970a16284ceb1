-- Some upstreams, by id; the deleted ones are left out.
-- $1 fleet  $2 ids (array)
select *
from upstreams
where fleet = $1
  and id = any($2::text[])
  and state <> 'deleted'
order by id
