-- The ledger's row of one version.
-- $1 fleet  $2 version
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
  and version = $2
