-- A page of the ledger, newest first.
-- $1 fleet  $2 version to go on below, null at first  $3 id that the rows concern, null for all  $4 rows at most
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
  and ($2::bigint is null or version < $2::bigint)
  and ($3::text is null or subjects @> array[$3::text])
order by version desc
limit $4
