-- One row: the fleet's version and sizes, and the database's clock in ms since 1970. None where the fleet is not there yet.
-- $1 fleet
select
  version,
  ledger_hash,
  eviction_asked,
  wanted_size,
  configured_size,
  floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms
from fleets
where name = $1
