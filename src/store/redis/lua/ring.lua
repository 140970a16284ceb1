-- ring (a piece that scripts.ts prepends): whose turn is it in this lane?
-- ring = ids in the order of their turns. rings[lane] = '<version> <length>' of the ring: another version,
-- or a list that was lost or tampered with, is no ring. lanes[lane] = when it was last used (ms).

local function has(upstream)
  return redis.call('HEXISTS', fleet, 'upstream:' .. upstream) == 1
end

local function currentVersion()
  return tonumber(redis.call('HGET', fleet, 'version') or 0)
end

local function ringStands()
  return redis.call('HGET', rings, lane) == version .. ' ' .. redis.call('LLEN', ring)
end

-- Lanes that nobody uses any more make room; their lists expire by themselves.
local function laneMayEnter(now)
  if redis.call('ZSCORE', lanes, lane) then return true end
  for _, unused in ipairs(redis.call('ZRANGEBYSCORE', lanes, '-inf', now - laneUnusedMs, 'LIMIT', 0, 10)) do
    redis.call('ZREM', lanes, unused)
    redis.call('HDEL', rings, unused)
  end
  return redis.call('ZCARD', lanes) < tonumber(maxLanes)
end

-- Those that stay keep their order; new ones enter at the tail, behind all that wait (design 13.4).
-- Pushed in parts: unpack() fails on more than about 8,000 values.
local function rebuildRing()
  local eligibleIds, wanted, ids = cjson.decode(eligible), {}, {}
  for _, id in ipairs(eligibleIds) do wanted[id] = true end
  local function enter(id)
    if wanted[id] then ids[#ids + 1] = id end
    wanted[id] = nil
  end
  for _, id in ipairs(redis.call('LRANGE', ring, 0, -1)) do enter(id) end
  for _, id in ipairs(eligibleIds) do enter(id) end
  redis.call('DEL', ring)
  for first = 1, #ids, 5000 do
    redis.call('RPUSH', ring, unpack(ids, first, math.min(first + 4999, #ids)))
  end
  redis.call('HSET', rings, lane, version .. ' ' .. #ids)
end

-- At most one lap. An id that the caller refuses has had its turn. One that the version does not know was put in by
-- somebody else, and stands in the place of another: that ring stands no longer.
local function nextInRing()
  local skip, isSound = {}, true
  for _, id in ipairs(cjson.decode(refused)) do skip[id] = true end
  for _ = 1, redis.call('LLEN', ring) do
    local id = redis.call('LMOVE', ring, ring, 'LEFT', 'RIGHT')
    if not has(id) then
      if isSound then redis.call('HDEL', rings, lane) end
      isSound = false
    elseif not skip[id] then
      return id, isSound
    end
  end
  return nil, isSound
end

-- Answers the upstream, or nil and what to tell the caller.
local function takeTurn(now)
  local current = currentVersion()
  if tonumber(version) < current then return nil, { 'stale', current } end
  if tonumber(version) > current then return nil, { 'behind', current } end
  if not ringStands() then
    if not laneMayEnter(now) then return nil, { 'too-many-lanes' } end
    if eligible == '' then return nil, { 'no-ring' } end
    rebuildRing()
  end
  local upstream, isSound = nextInRing()
  redis.call('ZADD', lanes, now, lane)
  redis.call('PEXPIRE', ring, laneUnusedMs)
  return upstream, { (isSound or eligible ~= '') and 'none' or 'no-ring' }
end
