-- What the lanes of a restriction may reach.
alter table restrictions
  -- A list of patterns; null: anything.
  add column targets jsonb check (jsonb_typeof(targets) = 'array'),
  -- What targets would refuse is only told.
  add column report boolean not null default false,
  drop constraint restrictions_kind_check,
  add constraint restrictions_kind_check check (kind in ('exclusive', 'deny', 'targets')),
  -- One of kind targets says nothing else.
  add constraint restrictions_targets_given check (kind <> 'targets' or targets is not null);
