-- touch-pins: extend many pins, each only if it still stands where the caller says.
-- KEYS pins expiry  ARGV touches (JSON list of [job, upstream, used, tell]) idleMs maxLifeMs feed
-- Those whose first tunnel this is, or that say so, are told on the feed.
-- Returns a list of 1 (extended) or 0, in the same order. Cost: O(touches * log pins), so send 500 at most.

local now = nowMs()
local answers, told = {}, {}
for place, touch in ipairs(cjson.decode(touches)) do
  local job, upstream, used, isToTell = touch[1], touch[2], touch[3], touch[4]
  local pin = livePin(job, now)
  local stands = pin and pin.u == upstream
  if stands then
    if used and pin.by then
      pin.by = nil
      savePin(job, pin)
      isToTell = true
    end
    extend(job, pin, now)
    if isToTell then told[#told + 1] = { job, upstream, used } end
  end
  answers[place] = stands and 1 or 0
end
if #told > 0 then tell({ touched = told }) end
return answers
