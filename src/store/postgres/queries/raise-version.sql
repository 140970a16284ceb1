-- The last statement of a transaction that changes a fleet.
-- $1 fleet  $2 version  $3 hash of the ledger's newest row  $4 version of the eviction asked, or null
update fleets
set
  version = $2,
  ledger_hash = $3,
  eviction_asked = $4
where name = $1
returning version
