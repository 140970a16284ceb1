-- Claims those of the upstreams that nobody else claims, or is claiming right now, and that are not deleted.
-- Each row as it stands then, with the clock in ms since 1970; where there is none, one row with the clock alone.
-- $1 fleet  $2 ids (array)  $3 holder  $4 ms that the claim lasts
with free as materialized (
  select id
  from upstreams
  where fleet = $1
    and id = any($2::text[])
    and state <> 'deleted'
    and (claimed_by is null or claimed_until <= now())
  for update skip locked
),
taken as (
  update upstreams
  set
    claimed_by = $3,
    claimed_until = clock_timestamp() + $4 * interval '1 millisecond',
    claim_fence = upstreams.claim_fence + 1
  from free
  where upstreams.fleet = $1
    and upstreams.id = free.id
  returning upstreams.*
)
select
  taken.*,
  floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms
from (values (1)) as always
left join taken on true
order by taken.id
