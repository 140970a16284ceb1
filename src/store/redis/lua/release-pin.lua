-- release-pin: end a pin.
-- KEYS pins expiry counts  ARGV job
-- Returns {record, expiresAtMs} as it was, nil where there was none or it had expired. Cost: O(log pins).

local pin, text, expiresAt = livePin(job, nowMs())
local stored = redis.call('HGET', pins, job)
if stored then dropPin(job, decodePin(stored)) end
return pin and { text, expiresAt }
