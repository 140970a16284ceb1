-- The ledger's row of a change.
-- $1 fleet  $2 version  $3 format  $4 time of the change (ISO 8601, ms)  $5 actor  $6 reason or null
-- $7 steps (JSON list)  $8 subjects (JSON list of ids)  $9 hash of the row before, '' for the first  $10 hash
insert into ledger (
  fleet,
  version,
  format,
  at,
  actor,
  reason,
  steps,
  subjects,
  previous_hash,
  hash
)
values (
  $1,
  $2,
  $3,
  $4::timestamptz,
  $5,
  $6,
  $7::text::jsonb,
  array(select jsonb_array_elements_text($8::text::jsonb)),
  $9,
  $10
)
returning version
