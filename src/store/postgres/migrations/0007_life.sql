-- What control keeps of an upstream's life, and of its own work.
alter table upstreams
  -- Under which its provider lists it, in whichever of its lives.
  add column instance_id text,
  -- The cloud's own number of that very machine.
  add column incarnation text,
  add column listed_ip text,
  -- Of the cloud operation under way.
  add column request_id text,
  -- Failed tries of the step under way, when it is tried again, and why the last one failed.
  add column attempts integer not null default 0,
  add column retry_at timestamptz(3),
  add column problem text,
  add column drain jsonb check (jsonb_typeof(drain) = 'object'),
  add column replaced_by text collate "C",
  add column ejections integer not null default 0,
  add column ejected_until timestamptz(3),
  -- The fleet's version and the time at which it came into its state; 0: before this was kept.
  add column state_version bigint not null default 0,
  add column state_since timestamptz(3);

-- The second life of the instance `x` is the upstream `x.2`. Other ids may end like that by themselves.
update upstreams as life
set
  state_since = coalesce(life.deleted_at, life.created_at),
  -- A provider's list was all that was known of it.
  listed_ip = case when life.added_by = 'provider' then life.egress_ip end,
  instance_id = coalesce(
    (
      select first.id
      from upstreams as first
      where first.fleet = life.fleet
        and first.id = substring(life.id from '^(.+)\.(?:[2-9]|[1-9][0-9]+)$')
    ),
    life.id
  );

alter table upstreams
  alter column instance_id set not null,
  alter column state_since set not null,
  drop constraint upstreams_added_by_check,
  drop constraint upstreams_deleted_by_check,
  add constraint upstreams_added_by_check check (added_by in ('operator', 'provider', 'control')),
  add constraint upstreams_deleted_by_check check (deleted_by in ('operator', 'provider', 'control'));

-- The rows are the queue: those that have somewhere to go are few among those that run, and among tombstones.
-- waiting-upstreams.sql says the same words, or it would not be used.
create index upstreams_waiting on upstreams (fleet)
where state in ('provisioning', 'draining', 'deleting') or (state = 'running' and replaced_by is not null);

alter table fleets
  -- What the configuration wanted when control last looked.
  add column configured_size integer check (configured_size >= 0),
  -- Which store of pins the fleet works with, and when that became another one.
  add column store_identity text,
  add column store_changed_at timestamptz(3);

-- What the newest comparison of the provider's list with the records came to.
create table sync_reports (
  fleet text primary key references fleets (name),
  started_at timestamptz(3) not null,
  report jsonb not null
);
