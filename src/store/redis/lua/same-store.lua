-- same-store (a piece that scripts.ts prepends): does nothing where this is not the store that the caller knows.
-- KEYS born  ARGV mark ('' = any store)
-- A flush takes `born` away, and what a gateway remembers must be given back before anything is decided without it.

if mark ~= '' and redis.call('GET', born) ~= mark then return 'another-store' end
