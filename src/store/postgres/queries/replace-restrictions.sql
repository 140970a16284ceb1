-- Puts other rules in the place of restrictions that are there. Answers their ids.
-- $1 fleet  $2 JSON list of restrictions, each id once, keys as the columns  $3 time of the change (ISO 8601)
update restrictions
set
  kind = replaced.kind,
  type = replaced.type,
  institution = replaced.institution,
  selector = replaced.selector,
  overflow = replaced.overflow,
  targets = replaced.targets,
  report = replaced.report,
  source = replaced.source,
  updated_at = $3::timestamptz
from jsonb_to_recordset($2::text::jsonb) as replaced (
  id text,
  kind text,
  type text,
  institution text,
  selector jsonb,
  overflow boolean,
  targets jsonb,
  report boolean,
  source text
)
where restrictions.fleet = $1
  and restrictions.id = replaced.id
returning restrictions.id
