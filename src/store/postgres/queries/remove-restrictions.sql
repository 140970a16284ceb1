-- Removes restrictions. Answers the ids of those that were there.
-- $1 fleet  $2 JSON list of {id}
delete from restrictions
using jsonb_to_recordset($2::text::jsonb) as removed (id text)
where restrictions.fleet = $1
  and restrictions.id = removed.id
returning restrictions.id
