-- Remembers which store of pins the fleet works with. Writes only where it is another one than last: this is asked all
-- the time. Answers since when it is another, null where there never was one before, and the clock in ms since 1970.
-- Where two see it at once, the second finds nothing to change and the old row: it changed just now.
-- $1 fleet  $2 identity of the store
with changed as (
  update fleets
  set
    store_identity = $2,
    store_changed_at = case when store_identity is not null then date_trunc('milliseconds', clock_timestamp()) end
  where name = $1
    and store_identity is distinct from $2
  returning store_changed_at
)
select
  coalesce(
    changed.store_changed_at,
    case
      when seen.store_identity is null or seen.store_identity = $2 then seen.store_changed_at
      else clock_timestamp()
    end
  ) as changed_at,
  floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms
from fleets as seen
left join changed on true
where seen.name = $1
