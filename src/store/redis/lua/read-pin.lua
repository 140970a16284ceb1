-- read-pin: look at a pin without extending it.
-- KEYS pins expiry  ARGV job
-- Returns {record, expiresAtMs}, nil where there is none. Cost: O(1).

local pin, text, expiresAt = livePin(job, nowMs())
return pin and { text, expiresAt }
