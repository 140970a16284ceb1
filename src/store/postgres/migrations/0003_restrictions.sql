create table restrictions (
  fleet text not null references fleets (name),
  id text collate "C" not null,
  kind text not null check (kind in ('exclusive', 'deny')),
  type text not null,
  institution text not null,
  -- {"ids": [...]} or {"labels": {...}}
  selector jsonb not null check (jsonb_typeof(selector) = 'object'),
  overflow boolean not null,
  source text not null check (source in ('config', 'api')),
  -- The order of adding; a replaced one keeps its place. Never used again, so that a page goes on after it.
  place bigint generated always as identity,
  created_at timestamptz(3) not null,
  updated_at timestamptz(3) not null,
  primary key (fleet, id)
);

create index restrictions_in_order on restrictions (fleet, place);
