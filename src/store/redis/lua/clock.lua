-- clock (a piece that scripts.ts prepends): Redis's own time, in milliseconds since 1970.
-- A caller's clock has no say: one hour ahead, it once expired everybody's pins.

local function nowMs()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
