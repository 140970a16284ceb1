-- Makes tombstones of upstreams that are not deleted yet, and ends the claims on them. Answers their ids.
-- $1 fleet  $2 JSON list of {id, deleted_by}, each id once  $3 time of the change (ISO 8601)  $4 its version
update upstreams
set
  state = 'deleted',
  state_version = $4::bigint,
  state_since = $3::timestamptz,
  deleted_at = $3::timestamptz,
  deleted_by = deleted.deleted_by,
  retry_at = null,
  claimed_by = null,
  claimed_until = null,
  row_version = upstreams.row_version + 1,
  updated_at = $3::timestamptz
from jsonb_to_recordset($2::text::jsonb) as deleted (id text, deleted_by text)
where upstreams.fleet = $1
  and upstreams.id = deleted.id
  and upstreams.state <> 'deleted'
returning upstreams.id
