-- The heartbeat of a process of which Redis counts everything it has used.
-- KEYS: the processes (sorted set: process, time in ms). ARGV: the process, the least time it must stand there with
-- (-1: a new one that has used nothing enters by itself), whether to enter it as one that has yet to report (1), and a
-- time in ms since which other processes are counted.
-- Returns: its time there before this (-1: it is not there, or with an older time: memory was lost), its time now, the
-- time, and how many others have been refreshed since.

local KEPT_MS, DAY_MS = 600000, 86400000

local processes, process, least = KEYS[1], ARGV[1], tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local before = tonumber(redis.call('ZSCORE', processes, process) or -1)
local is_known = before >= least and before >= 0
local after = before
if ARGV[3] == '1' then
  if before < 0 then
    after = now - KEPT_MS / 2
    redis.call('ZADD', processes, after, process)
  end
elseif is_known or least < 0 then
  after = math.max(now, before + 1)
  redis.call('ZADD', processes, after, process)
end
redis.call('ZREMRANGEBYSCORE', processes, '-inf', now - KEPT_MS)
redis.call('PEXPIRE', processes, DAY_MS)
local others = redis.call('ZCOUNT', processes, '(' .. ARGV[4], '+inf')
if after > tonumber(ARGV[4]) then
  others = others - 1
end
return { is_known and before or -1, after, now, others }
