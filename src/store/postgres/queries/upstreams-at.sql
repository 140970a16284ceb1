-- Upstreams at an address, without the deleted ones, by id.
-- $1 fleet  $2 host  $3 port
select *
from upstreams
where fleet = $1
  and host = $2
  and port = $3
  and state <> 'deleted'
order by id
