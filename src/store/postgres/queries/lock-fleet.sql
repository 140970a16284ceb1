-- The first statement of every transaction that changes a fleet: waits for the one before, and shows what it left.
-- The clock is read outside, since `for update` locks last: inside it is from before the wait, unless the one before
-- changed the row (tried: 0.2 s behind).
-- $1 fleet
with locked as materialized (
  select version, ledger_hash, eviction_asked, wanted_size, configured_size
  from fleets
  where name = $1
  for update
)
select
  version,
  ledger_hash,
  eviction_asked,
  wanted_size,
  configured_size,
  floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms
from locked
