-- restore-pins: write back pins that a gateway remembers and this store may have lost. No turn is taken, no pin is new.
-- KEYS pins expiry counts  ARGV remembered (JSON list of [job, record, hashed]) idleMs maxLifeMs feed
-- Where another pin stands, that one stands; unless it is older than the remembered one: then it came back with the
-- writes that were lost. A hashed one was never confirmed by a store, so it wins only over a fresh one of the same gateway
-- ("by" in both): the answer to that was lost, so nobody was told of it.
-- Returns a list, in the same order: 'written', 'stands', 'replaced', 'over', or {record, expiresAtMs} of the one that stands.
-- Cost: O(remembered * log pins), so send 500 at most.

local now = nowMs()

local function write(job, pin)
  local stored = redis.call('HGET', pins, job)
  if stored then dropPin(job, decodePin(stored)) end
  savePin(job, pin)
  countUp(pin.u)
  extend(job, pin, now)
end

-- What is there already goes on; that a tunnel has opened stays true.
local function keep(job, standing, pin)
  if standing.by and not pin.by then
    standing.by = nil
    savePin(job, standing)
  end
  extend(job, standing, now)
end

local function restore(job, pin, hashed)
  if pin.at + maxLifeMs <= now then return 'over' end
  local maker = pin.by
  if hashed then pin.by = nil end
  local standing, text, expiresAt = livePin(job, now)
  if not standing then
    write(job, pin)
    return 'written'
  end
  local isUntold = hashed and standing.by and standing.by == maker
  if standing.u == pin.u then
    keep(job, standing, pin)
    return 'stands'
  end
  if not isUntold and (hashed or standing.at >= pin.at) then return { text, expiresAt } end
  write(job, pin)
  tellPinned(job, pin, now + idleMs)
  return 'replaced'
end

local answers = {}
for place, one in ipairs(cjson.decode(remembered)) do answers[place] = restore(one[1], one[2], one[3]) end
return answers
