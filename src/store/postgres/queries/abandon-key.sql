-- Gives a key back that was not answered.
-- $1 fleet  $2 key  $3 token of the claim
delete from idempotency_keys
where fleet = $1
  and key = $2
  and token = $3
  and answer is null
