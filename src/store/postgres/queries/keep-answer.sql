-- Keeps the answer of a request. One row; none where the claim has been taken over, or is forgotten.
-- $1 fleet  $2 key  $3 token of the claim  $4 answer (JSON)
update idempotency_keys
set answer = $4::text::json
where fleet = $1
  and key = $2
  and token = $3
  and answer is null
returning key
