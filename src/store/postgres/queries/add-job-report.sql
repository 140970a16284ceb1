-- What a job says of its upstream.
-- $1 fleet  $2 job  $3 type  $4 institution  $5 upstream  $6 outcome  $7 actor
insert into job_reports (
  fleet,
  job_id,
  type,
  institution,
  upstream,
  outcome,
  actor
)
values ($1, $2, $3, $4, $5, $6, $7)
