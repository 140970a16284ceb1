-- release-pin: end a pin, and tell whoever remembers it.
-- KEYS pins expiry counts  ARGV job  onlyOn ('' = any upstream)  feed
-- Returns {record, expiresAtMs} as it was, nil where there was none, it had expired, or it stands elsewhere. Cost: O(log pins).

local pin, text, expiresAt = livePin(job, nowMs())
if onlyOn ~= '' and (not pin or pin.u ~= onlyOn) then return nil end
local stored = redis.call('HGET', pins, job)
if stored then dropPin(job, decodePin(stored)) end
if not pin then return nil end
tell({ released = job, at = pin.at })
return { text, expiresAt }
