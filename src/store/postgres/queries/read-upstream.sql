-- One upstream, deleted or not.
-- $1 fleet  $2 id
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
  and id = $2
