-- The last statement of a transaction that changes a fleet.
-- $1 fleet  $2 version  $3 hash of the ledger's newest row  $4 version of the eviction asked, or null
-- $5 wanted size, or null  $6 the one of the configuration, or null
update fleets
set
  version = $2,
  ledger_hash = $3,
  eviction_asked = $4,
  wanted_size = $5,
  configured_size = $6
where name = $1
returning version
