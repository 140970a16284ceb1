-- move-pin: give a job the next upstream of its ring instead of the one it stands on. Compare-and-set, atomic.
-- KEYS pins expiry counts fleet ring rings lanes
-- ARGV job jobType institution (as recorded, '' = none)  gateway  from
--      when ('fresh': only by the gateway that made the pin, while no tunnel has opened; 'lost': from has left)
--      version lane eligible refused (with `from`) idleMs maxLifeMs maxLanes laneUnusedMs feed, as in pin-job
-- Returns {'moved' | 'kept', record, expiresAtMs}, {'gone'}, or what pin-job returns when it gives no upstream.
-- Cost: as pin-job.

local function mayMove(pin)
  if pin.u ~= from or (pin.t or '') ~= jobType or (pin.i or '') ~= institution then return false end
  if when == 'fresh' then return pin.by == gateway end
  return not has(from)
end

local now = nowMs()
local pin, text, expiresAt = livePin(job, now)
if not pin then return { 'gone' } end
if not mayMove(pin) then return { 'kept', text, expiresAt } end

local upstream, refusal = takeTurn(now)
if not upstream then return refusal end

countDown(pin.u)
countUp(upstream)
pin.u, pin.by = upstream, gateway
expiresAt = extend(job, pin, now)
tellPinned(job, pin, expiresAt)
return { 'moved', savePin(job, pin), expiresAt }
