-- feed (a piece that scripts.ts prepends): tells all gateways what happens to pins. ARGV feed (a channel, not a key)
-- {"f":1,"pinned":job,"pin":record,"until":ms}          made or moved
-- {"f":1,"touched":[[job, upstream, used], ...]}        extended; used: a tunnel has opened
-- {"f":1,"released":job,"at":made}
-- {"f":1,"beat":gateway,"n":which}
-- What happened has happened whether or not we may publish, hence pcall.

local function tell(notice)
  notice.f = 1
  redis.pcall('PUBLISH', feed, cjson.encode(notice))
end

local function tellPinned(job, pin, expiresAt)
  tell({ pinned = job, pin = pin, ['until'] = expiresAt })
end
