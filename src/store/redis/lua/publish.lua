-- publish: set the fleet's snapshot, if its version is greater than the one there. Atomic.
-- KEYS fleet  ARGV version snapshot (JSON) upstreams (JSON list of their ids)
-- fleet = version, snapshot, and one field upstream:<id> each, so that scripts can ask who belongs to it.
-- Returns the version that stands then. Cost: O(upstreams).

local current = tonumber(redis.call('HGET', fleet, 'version') or 0)
if tonumber(version) <= current then return current end

local gone = {}
for _, field in ipairs(redis.call('HKEYS', fleet)) do
  if string.sub(field, 1, 9) == 'upstream:' then gone[field] = true end
end
for _, id in ipairs(cjson.decode(upstreams)) do
  local field = 'upstream:' .. id
  if gone[field] then gone[field] = nil else redis.call('HSET', fleet, field, 1) end
end
for field in pairs(gone) do redis.call('HDEL', fleet, field) end

redis.call('HSET', fleet, 'version', version, 'snapshot', snapshot)
return tonumber(version)
