-- identity: which store this is. Marks one that has no mark yet. Atomic.
-- KEYS born pins expiry counts  ARGV mark (a random text)
-- A flush, or a restart without data, takes the mark away. A failover to a replica leaves it there, but the server then
-- has another replication id, as it has after most restarts. Where only pins or only their ends were evicted, what is left
-- of them is worth nothing: away with it, and the store is another one.
-- Returns "<replication id> <mark>". Cost: O(1), but for that.

if redis.call('HLEN', pins) ~= redis.call('ZCARD', expiry) then redis.call('UNLINK', born, pins, expiry, counts) end
redis.call('SET', born, mark, 'NX')
local id = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
return (id or '') .. ' ' .. redis.call('GET', born)
