-- Lets a claim last from now on. None where another has taken it, or the upstream is deleted.
-- $1 fleet  $2 id  $3 holder  $4 fence of the claim  $5 ms
update upstreams
set claimed_until = clock_timestamp() + $5 * interval '1 millisecond'
where fleet = $1
  and id = $2
  and claimed_by = $3
  and claim_fence = $4
returning id
