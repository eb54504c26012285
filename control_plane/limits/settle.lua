-- A call has ended: its place is free in every scope, and it counts for the tokens it used instead of those it took.
-- KEYS as in take.lua. ARGV: the call, the tick in which it took, whether it was made (0: it counts as no request
-- either), and for each scope the tokens to add (or take away).

local call, tick, was_made = ARGV[1], ARGV[2], ARGV[3] == '1'
for number = 1, #KEYS / 3 do
  local used, running = KEYS[3 * number - 2], KEYS[3 * number]
  redis.call('ZREM', running, call)
  if redis.call('HEXISTS', used, 'r' .. tick) == 1 then
    local more = tonumber(ARGV[3 + number])
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
return #KEYS / 3
