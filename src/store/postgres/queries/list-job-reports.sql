-- What one job has said, newest first.
-- $1 fleet  $2 job  $3 rows at most
select
  id,
  at,
  job_id,
  type,
  institution,
  upstream,
  outcome,
  actor
from job_reports
where fleet = $1
  and job_id = $2
order by number desc
limit $3
