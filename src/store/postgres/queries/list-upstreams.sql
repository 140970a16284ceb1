-- A page of upstreams, by id: all columns, of which upstreams.ts reads those that it knows.
-- $1 fleet  $2 state, null for all but the deleted ones  $3 id to go on after, or null  $4 rows at most, null for all
select *
from upstreams
where fleet = $1
  and (state = $2::text or ($2::text is null and state <> 'deleted'))
  and ($3::text is null or id > $3::text)
order by id
limit $4
