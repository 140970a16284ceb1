-- Upstreams that have somewhere to go, are due and unclaimed; the longest untouched first. Looks without claiming.
-- Each row with the clock in ms since 1970; where none waits, one row with the clock alone.
-- $1 fleet  $2 provider, beside `static`  $3 its zone, null for all  $4 rows at most
with waiting as (
  select *
  from upstreams
  where fleet = $1
    and (state in ('provisioning', 'draining', 'deleting') or (state = 'running' and replaced_by is not null))
    and (state <> 'draining' or drain ->> 'drainedAtMs' is null or (drain ->> 'thenDelete')::boolean)
    and (retry_at is null or retry_at <= now())
    and (claimed_by is null or claimed_until <= now())
    and (provider = 'static' or (provider = $2 and ($3::text is null or zone = $3::text)))
  order by greatest(updated_at, claimed_until), id
  limit $4
)
select
  waiting.*,
  floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms
from (values (1)) as always
left join waiting on true
order by greatest(waiting.updated_at, waiting.claimed_until), waiting.id
