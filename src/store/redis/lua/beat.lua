-- beat: replace a gateway's report, and tell it the version, the time, and what the others said last. Atomic.
-- KEYS gateways fleet  ARGV id report (JSON object) reportKeptMs  beats ('' = not to be told)  feed
-- gateways[id] = the report with "at", Redis's time, as its first field.
-- Returns {version, nowMs, reports of the others}. Cost: O(gateways).

local now = nowMs()
redis.call('HSET', gateways, id, '{"at":' .. now .. ',' .. string.sub(report, 2))

local others = {}
local all = redis.call('HGETALL', gateways)
for place = 1, #all, 2 do
  local other, text = all[place], all[place + 1]
  local at = tonumber(string.match(text, '^{"at":(%d+)') or now)
  if at <= now - reportKeptMs then
    redis.call('HDEL', gateways, other)
  elseif other ~= id then
    others[#others + 1] = text
  end
end
if beats ~= '' then tell({ beat = id, n = tonumber(beats) }) end
return { tonumber(redis.call('HGET', fleet, 'version') or 0), now, others }
