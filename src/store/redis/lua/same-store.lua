-- same-store (a piece that scripts.ts prepends): does nothing where this is not the store that the caller knows, or not all
-- of it. KEYS born pins expiry  ARGV mark ('' = any store)
-- A flush takes `born` away, and what a gateway remembers must be given back before anything is decided without it. A Redis
-- that evicts takes one key and leaves the others; pins without ends, or ends without pins, tell of that.

if mark ~= '' then
  local isWhole = redis.call('HLEN', pins) == redis.call('ZCARD', expiry)
  if not isWhole or redis.call('GET', born) ~= mark then return 'another-store' end
end
