-- touch-pins: extend many pins, each only if it still stands where the caller says.
-- KEYS pins expiry  ARGV touches (JSON list of [job, upstream, used]) idleMs maxLifeMs
-- Returns a list of 1 (extended) or 0, in the same order. Cost: O(touches * log pins), so send 500 at most.

local now = nowMs()
local answers = {}
for place, touch in ipairs(cjson.decode(touches)) do
  local job, upstream, used = touch[1], touch[2], touch[3]
  local pin = livePin(job, now)
  local stands = pin and pin.u == upstream
  if stands then
    if used and pin.by then
      pin.by = nil
      savePin(job, pin)
    end
    extend(job, pin, now)
  end
  answers[place] = stands and 1 or 0
end
return answers
