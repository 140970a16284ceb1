-- use-pin: a tunnel of the job has opened; the pin is fresh no longer, and extended. Atomic.
-- KEYS pins expiry  ARGV job upstream idleMs maxLifeMs feed
-- Returns {record, expiresAtMs} of the pin as it stands: if not on `upstream`, unchanged. nil where there is none.
-- Cost: O(log pins).

local now = nowMs()
local pin, text, expiresAt = livePin(job, now)
if not pin then return nil end
if pin.u ~= upstream then return { text, expiresAt } end
if pin.by then
  pin.by = nil
  text = savePin(job, pin)
  tell({ touched = { { job, upstream, true } } })
end
return { text, extend(job, pin, now) }
