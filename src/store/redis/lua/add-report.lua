-- add-report: keep what a job says of its upstream until a control has written it down.
-- KEYS reports  ARGV id report (JSON object) waitingReports
-- reports[id] = the report with "at", Redis's time, as its first field.
-- Returns 1, or 0 where as many wait as there is room for. Cost: O(1).

if redis.call('HLEN', reports) >= tonumber(waitingReports) then return 0 end
redis.call('HSET', reports, id, '{"at":' .. nowMs() .. ',' .. string.sub(report, 2))
return 1
