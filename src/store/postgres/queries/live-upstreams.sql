-- All upstreams of the fleet but the deleted ones, by id.
-- $1 fleet
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
  and state <> 'deleted'
order by id
