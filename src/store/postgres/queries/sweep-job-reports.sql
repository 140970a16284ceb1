-- Forgets what jobs have said long ago. One row for each report.
-- $1 fleet  $2 age in ms
delete from job_reports
where fleet = $1
  and at < now() - $2::float8 * interval '1 millisecond'
returning number
