-- identity: which store this is. Marks one that has no mark yet. Atomic.
-- KEYS born  ARGV mark (a random text)
-- A flush, or a restart without data, takes the mark away. A failover to a replica leaves it there, but the server then
-- has another replication id, as it has after most restarts.
-- Returns "<replication id> <mark>". Cost: O(1).

redis.call('SET', born, mark, 'NX')
local id = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
return (id or '') .. ' ' .. redis.call('GET', born)
