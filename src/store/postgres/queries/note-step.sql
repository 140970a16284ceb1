-- Writes what is to be known for the next try of a step. None where another has taken the claim, or the upstream is deleted.
-- $1 fleet  $2 id  $3 holder  $4 fence of the claim  $5 JSON object, named as the columns; what it lacks stays
-- $6 whether the claim ends; `claimed_until` then tells when the upstream was last touched
update upstreams
set
  (zone, request_id, attempts, retry_at, problem) = (
    select zone, request_id, attempts, retry_at, problem
    from jsonb_populate_record(upstreams, $5::text::jsonb)
  ),
  claimed_by = case when $6::boolean then null else claimed_by end,
  claimed_until = case when $6::boolean then clock_timestamp() else claimed_until end
where fleet = $1
  and id = $2
  and claimed_by = $3
  and claim_fence = $4
returning id
