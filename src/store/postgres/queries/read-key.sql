-- A key in use, with its ages in ms by the database's clock.
-- $1 fleet  $2 key
select
  fingerprint,
  token,
  answer,
  extract(epoch from now() - created_at)::float8 * 1000 as age_ms,
  extract(epoch from now() - claimed_at)::float8 * 1000 as claim_age_ms
from idempotency_keys
where fleet = $1
  and key = $2
