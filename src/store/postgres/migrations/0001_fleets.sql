-- One row for each fleet. Whoever changes a fleet locks its row first and raises its version last.
create table fleets (
  name text primary key check (name ~ '^[a-z0-9-]{1,32}$'),
  -- Of the newest row in the ledger, and that row's hash: 0 and '' before the first.
  version bigint not null default 0,
  ledger_hash text not null default '',
  wanted_size integer check (wanted_size >= 0),
  -- The version at which an eviction was asked that is not done yet.
  eviction_asked bigint,
  created_at timestamptz(3) not null default now()
);
