-- pin-job: keep a job on its upstream, or give it the next one of its lane's ring. Atomic.
-- KEYS pins expiry counts fleet ring rings lanes
-- ARGV job jobType institution ('' = not given)  gateway  version of the caller's snapshot
--      lane  eligible (JSON list, '' on the first try)  refused (JSON list)
--      idleMs maxLifeMs sweptPerPin maxPins maxLanes laneUnusedMs  feed
-- Returns {'pinned' | 'reused' | 'mismatch' | 'lost', record, expiresAtMs}, {'stale' | 'behind', version},
-- or {'no-ring' | 'none' | 'too-many-lanes' | 'too-many-pins'}.
-- Cost: O(refused ids passed), whatever the length of the ring and the number of pins; O(ring) when rebuilt.

local function differs(pin)
  return (jobType ~= '' and jobType ~= pin.t) or (institution ~= '' and institution ~= pin.i)
end

local now = nowMs()
sweepExpired(sweptPerPin, now)

local pin, text, expiresAt = livePin(job, now)
if pin then
  if differs(pin) then return { 'mismatch', text, expiresAt } end
  if has(pin.u) then return { 'reused', text, extend(job, pin, now) } end
  local current = currentVersion()
  if tonumber(version) > current then return { 'behind', current } end
  return { 'lost', text, expiresAt }
end

-- Expired pins that nobody swept yet count; one of this job is replaced.
local expired = redis.call('HGET', pins, job)
if not expired and redis.call('HLEN', pins) >= tonumber(maxPins) then return { 'too-many-pins' } end

local upstream, refusal = takeTurn(now)
if not upstream then return refusal end

if expired then dropPin(job, decodePin(expired)) end

pin = { f = 1, u = upstream, at = now, by = gateway }
if jobType ~= '' then pin.t = jobType end
if institution ~= '' then pin.i = institution end
text = savePin(job, pin)
countUp(upstream)
expiresAt = extend(job, pin, now)
tellPinned(job, pin, expiresAt)
return { 'pinned', text, expiresAt }
