-- Without a reference to fleets: claiming a key must not wait for a change under way, which holds the fleet's row.
create table idempotency_keys (
  fleet text not null,
  key text not null,
  -- Of the request: the same key with another one is refused.
  fingerprint text not null,
  -- Who may keep the answer; a claim that is taken over gets another.
  token text not null,
  created_at timestamptz(3) not null,
  claimed_at timestamptz(3) not null,
  -- {"format", "status", "location", "body"}; null while the request is under way. As text: it is given again as it was.
  answer json,
  primary key (fleet, key)
);

create index idempotency_keys_by_age on idempotency_keys (fleet, created_at);
