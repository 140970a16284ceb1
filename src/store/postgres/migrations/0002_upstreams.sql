-- A deleted upstream stays as a tombstone: its id is one life of one egress IP, and never used again.
create table upstreams (
  fleet text not null references fleets (name),
  -- "C": the same order on every server, whatever its locale.
  id text collate "C" not null,
  name text not null,
  provider text not null,
  zone text,
  labels jsonb not null check (jsonb_typeof(labels) = 'object'),
  host text not null,
  port integer not null check (port between 1 and 65535),
  egress_ip text,
  -- The name of a credential, never the credential.
  credentials text,
  state text not null
    check (state in ('provisioning', 'running', 'draining', 'deleting', 'deleted', 'failed')),
  ejected boolean not null,
  quarantined boolean not null,
  added_by text not null check (added_by in ('operator', 'provider')),
  deleted_by text check (deleted_by in ('operator', 'provider')),
  row_version bigint not null default 1,
  -- A controller that works on the row, until when, and a number that each new claim raises: it fences off the one before.
  claimed_by text,
  claimed_until timestamptz(3),
  claim_fence bigint not null default 0,
  created_at timestamptz(3) not null,
  updated_at timestamptz(3) not null,
  deleted_at timestamptz(3),
  primary key (fleet, id),
  check ((state = 'deleted') = (deleted_at is not null)),
  check ((deleted_by is null) = (deleted_at is null))
);

-- Tombstones only grow in number; what is read with each change is the rest.
create index upstreams_live on upstreams (fleet, id) where state <> 'deleted';
