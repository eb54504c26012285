-- Adds to a scope what a process has used of it without Redis, or before Redis lost its memory.
-- KEYS: the processes that have reported (see heartbeat.lua), and of the scope as in take.lua: used, ticks, running.
-- ARGV: the process, the least time it must stand there with, ms of a tick, ticks of a minute, ms of a lease, how many
-- ticks follow, each with its requests and tokens (negative: fewer); how many calls follow that run; calls that ended.
-- Returns: 1, or 0 if Redis has lost its memory.

local processes, used, ticks, running = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local tick_ms, minute, lease_ms = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
if tonumber(redis.call('ZSCORE', processes, ARGV[1]) or -1) < tonumber(ARGV[2]) then
  return 0
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local oldest = math.floor(now / tick_ms) - minute

if redis.call('HEXISTS', used, 'r') == 0 then
  redis.call('DEL', used, ticks)
end
local at, count = 7, tonumber(ARGV[6])
local added = {}
for _ = 1, count do
  local tick, requests, tokens = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  at = at + 3
  if tonumber(tick) >= oldest then
    if redis.call('HEXISTS', used, 'r' .. tick) == 0 then
      added[#added + 1] = tonumber(tick)
    end
    redis.call('HINCRBY', used, 'r' .. tick, requests)
    redis.call('HINCRBY', used, 't' .. tick, tokens)
    redis.call('HINCRBY', used, 'r', requests)
    redis.call('HINCRBY', used, 't', tokens)
  end
end
if #added > 0 then -- the list stays sorted: take.lua removes what is too old from its head
  for _, tick in ipairs(redis.call('LRANGE', ticks, 0, -1)) do
    added[#added + 1] = tonumber(tick)
  end
  table.sort(added)
  redis.call('DEL', ticks)
  for first = 1, #added, 500 do
    local part = {}
    for number = first, math.min(first + 499, #added) do
      part[#part + 1] = string.format('%.0f', added[number])
    end
    redis.call('RPUSH', ticks, unpack(part))
  end
end
if count > 0 then
  redis.call('PEXPIRE', used, (minute + 2) * tick_ms)
  redis.call('PEXPIRE', ticks, (minute + 2) * tick_ms)
end

local runs = tonumber(ARGV[at])
for number = at + 1, #ARGV do
  if number <= at + runs then
    redis.call('ZADD', running, now + lease_ms, ARGV[number])
  else
    redis.call('ZREM', running, ARGV[number])
  end
end
redis.call('PEXPIRE', running, 2 * lease_ms)
return 1
