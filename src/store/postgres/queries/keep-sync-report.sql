-- Keeps what a comparison came to, unless that of one which started later is there.
-- $1 fleet  $2 when it started (ISO 8601)  $3 report (JSON)
insert into sync_reports (
  fleet,
  started_at,
  report
)
values ($1, $2::timestamptz, $3::text::jsonb)
on conflict (fleet) do update
set
  started_at = excluded.started_at,
  report = excluded.report
where sync_reports.started_at <= excluded.started_at
