-- Takes over a key from a holder that is gone, or that is forgotten since its day is over: one row with the new token.
-- None where somebody else was faster, or the holder has answered after all.
-- $1 fleet  $2 key  $3 fingerprint of the request  $4 token of the holder
-- $5 true: the key is forgotten, answer and all; false: its request goes on  $6 token of the new claim
update idempotency_keys
set
  fingerprint = $3,
  token = $6,
  created_at = case when $5::boolean then now() else created_at end,
  claimed_at = now(),
  answer = null
where fleet = $1
  and key = $2
  and token = $4
  and ($5::boolean or answer is null)
returning token
