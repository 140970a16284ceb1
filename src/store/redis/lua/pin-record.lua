-- pin-record (a piece that scripts.ts prepends): what a pin is, how it lives and ends.
-- pins[job] = {"f": format, "u": upstream, "t": type, "i": institution, "at": made (ms), "by": gateway}
-- t and i are absent where the job named none, by is there while the pin is fresh. Other fields are kept.
-- expiry[job] = ms at which it ends. counts[upstream] = its pins, expired ones not yet swept included.

-- Formats that this program can read: the one that it writes, and the one before (there is none yet).
local readable = { [1] = true }

local function decodePin(text)
  local pin = cjson.decode(text)
  if not readable[pin.f] then error('FORMAT pin record ' .. tostring(pin.f), 0) end
  return pin
end

-- Answers the pin, its text and its end; nil where there is none or it has expired.
local function livePin(job, now)
  local text = redis.call('HGET', pins, job)
  if not text then return nil end
  local expiresAt = tonumber(redis.call('ZSCORE', expiry, job) or 0)
  if expiresAt <= now then return nil end
  return decodePin(text), text, expiresAt
end

local function savePin(job, pin)
  local text = cjson.encode(pin)
  redis.call('HSET', pins, job, text)
  return text
end

local function extend(job, pin, now)
  local expiresAt = math.min(now + idleMs, pin.at + maxLifeMs)
  redis.call('ZADD', expiry, expiresAt, job)
  return expiresAt
end

local function countUp(upstream)
  redis.call('HINCRBY', counts, upstream, 1)
end

local function countDown(upstream)
  if redis.call('HINCRBY', counts, upstream, -1) <= 0 then redis.call('HDEL', counts, upstream) end
end

local function dropPin(job, pin)
  redis.call('HDEL', pins, job)
  redis.call('ZREM', expiry, job)
  countDown(pin.u)
end

-- A record of a format that cannot be read is left to those who can.
local function sweepExpired(limit, now)
  local swept = 0
  for _, job in ipairs(redis.call('ZRANGEBYSCORE', expiry, '-inf', now, 'LIMIT', 0, limit)) do
    local text = redis.call('HGET', pins, job)
    local known, pin = pcall(decodePin, text)
    if known then
      dropPin(job, pin)
      swept = swept + 1
    elseif not text then
      redis.call('ZREM', expiry, job)
    end
  end
  return swept
end
