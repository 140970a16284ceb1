-- A page of the ledger, oldest first, to follow its chain.
-- $1 fleet  $2 version to go on above, 0 at first  $3 rows at most
select
  version,
  format,
  at,
  actor,
  reason,
  steps,
  subjects,
  previous_hash,
  hash
from ledger
where fleet = $1
  and version > $2
order by version
limit $3
