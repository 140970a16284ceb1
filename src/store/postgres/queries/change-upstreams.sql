-- Changes the fields that are named, null included, of upstreams that are not deleted. Answers their ids.
-- $1 fleet  $2 JSON list of {id, fields}, each id once, fields named as the columns
-- $3 time of the change (ISO 8601)  $4 its version
update upstreams
set
  (
    name,
    host,
    port,
    egress_ip,
    labels,
    credentials,
    state,
    ejected,
    quarantined,
    incarnation,
    zone,
    listed_ip,
    request_id,
    attempts,
    retry_at,
    problem,
    drain,
    replaced_by,
    ejections,
    ejected_until
  ) = (
    select
      name,
      host,
      port,
      egress_ip,
      labels,
      credentials,
      state,
      ejected,
      quarantined,
      incarnation,
      zone,
      listed_ip,
      request_id,
      attempts,
      retry_at,
      problem,
      drain,
      replaced_by,
      ejections,
      ejected_until
    from jsonb_populate_record(upstreams, changed.fields)
  ),
  state_version = case when changed.fields ->> 'state' <> upstreams.state then $4::bigint else upstreams.state_version end,
  state_since = case when changed.fields ->> 'state' <> upstreams.state then $3::timestamptz else upstreams.state_since end,
  row_version = upstreams.row_version + 1,
  updated_at = $3::timestamptz
from jsonb_to_recordset($2::text::jsonb) as changed (id text, fields jsonb)
where upstreams.fleet = $1
  and upstreams.id = changed.id
  and upstreams.state <> 'deleted'
returning upstreams.id
