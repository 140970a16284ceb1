-- What jobs say of their upstreams. Not a change of the fleet, so not in the ledger.
create table job_reports (
  fleet text not null,
  number bigint generated always as identity,
  id uuid not null,
  at timestamptz(3) not null default now(),
  job_id text not null,
  type text,
  institution text,
  upstream text,
  outcome text not null,
  actor text not null,
  primary key (fleet, number),
  unique (fleet, id)
);

create index job_reports_by_age on job_reports (fleet, at);

create index job_reports_by_job on job_reports (fleet, job_id, number);
