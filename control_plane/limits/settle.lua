-- A call has ended: its place is free in every scope, and it counts for the tokens it used instead of those it took.
-- KEYS as in take.lua. ARGV: the call, the tick in which it took, whether it was made (0: it counts as no request
-- either), the process, the least time it must stand among those that have reported with, and for each scope the tokens to
-- add (or take away).
-- Returns: 1, or 0 if Redis has lost its memory: what is in this tick now are calls of other processes.

local call, tick, was_made = ARGV[1], ARGV[2], ARGV[3] == '1'
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[4]) or -1) < tonumber(ARGV[5]) then
  return 0
end
for number = 1, (#KEYS - 1) / 3 do
  local used, running = KEYS[3 * number - 1], KEYS[3 * number + 1]
  redis.call('ZREM', running, call)
  if redis.call('HEXISTS', used, 'r' .. tick) == 1 then
    local more = tonumber(ARGV[5 + number])
    if more ~= 0 then
      redis.call('HINCRBY', used, 't' .. tick, more)
      redis.call('HINCRBY', used, 't', more)
    end
    if not was_made then
      redis.call('HINCRBY', used, 'r' .. tick, -1)
      redis.call('HINCRBY', used, 'r', -1)
    end
  end
end
return 1
