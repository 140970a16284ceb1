-- Forgets old keys. One row for each.
-- $1 fleet  $2 age in ms
delete from idempotency_keys
where fleet = $1
  and created_at <= now() - $2 * interval '1 millisecond'
returning key
