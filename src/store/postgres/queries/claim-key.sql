-- Claims a key that nobody has used: one row with the token. None where it is in use.
-- Where another is claiming it right now, waits until that one is done.
-- $1 fleet  $2 key  $3 fingerprint of the request  $4 token of the claim
insert into idempotency_keys (
  fleet,
  key,
  fingerprint,
  token,
  created_at,
  claimed_at
)
values ($1, $2, $3, $4, now(), now())
on conflict (fleet, key) do nothing
returning token
