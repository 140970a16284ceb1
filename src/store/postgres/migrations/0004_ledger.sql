-- Who changed what in the fleet, and why: one row for each version, each with the hash of the one before.
create table ledger (
  fleet text not null references fleets (name),
  version bigint not null check (version > 0),
  -- Of `steps`, and of how `hash` is made.
  format smallint not null,
  -- To the millisecond, as it is hashed.
  at timestamptz(3) not null,
  actor text not null,
  reason text,
  steps jsonb not null check (jsonb_typeof(steps) = 'array'),
  -- The ids of upstreams and restrictions that the steps are about.
  subjects text[] not null,
  previous_hash text not null,
  hash text not null,
  primary key (fleet, version)
);

create index ledger_by_subject on ledger using gin (subjects);

create function refuse_to_change_the_ledger() returns trigger
language plpgsql
as $$
begin
  raise exception 'the ledger is append-only: % is refused', tg_op
    using errcode = 'restrict_violation';
end
$$;

create trigger ledger_is_append_only
before update or delete or truncate on ledger
for each statement
execute function refuse_to_change_the_ledger();

-- Also for a session that applies another server's changes, where triggers sleep otherwise.
alter table ledger enable always trigger ledger_is_append_only;
