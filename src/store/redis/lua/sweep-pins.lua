-- sweep-pins: remove expired pins.
-- KEYS pins expiry counts  ARGV limit
-- Returns how many. Cost: O(limit * log pins), so ask for 500 at most.

return sweepExpired(limit, nowMs())
