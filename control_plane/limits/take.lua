-- Takes a request, some tokens and a place among the calls at once from every scope, or nothing from any.
-- The rules are those of process.py; time is Redis's own, so that replicas need not agree on theirs.
--
-- KEYS: the processes that have reported what they used (see heartbeat.lua), and three for each scope: what was used (hash: r and t in sum, r<tick> and t<tick> in each tick), the ticks in which
-- something was used (list, oldest first), the calls that run (sorted set: call, by when its lease ends).
-- ARGV: now in ms (0: ask the clock), ms of a tick, ticks of a minute, the call, ms of a lease, ms to retry a place after,
-- the process, the least time it must stand among those with (-1: a new one, which enters by itself), until when in ms the
-- answer is waited for (0: for ever), and for each scope: requests, tokens, parallel (-1: not limited), the tokens to take.
-- Returns: the scope that has too little (0: none; -1: Redis has lost its memory, -2: nobody waits any more: nothing is
-- taken, and nothing else is returned), of what (1 requests, 2 tokens, 3 places), the ms to wait, the tick, the
-- time the process stands there with; and for each scope: requests, tokens, running, ms until all of the minute is free.

local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local tick_ms, ticks, call, lease_ms = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local retry_place_ms = tonumber(ARGV[6])
local tick = math.floor(now / tick_ms)
local processes, process, least, until_ = KEYS[1], ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
if until_ > 0 and now > until_ then
  return { -2 }
end
local reported = tonumber(redis.call('ZSCORE', processes, process) or -1)
if reported < 0 and least < 0 then
  reported = now
  redis.call('ZADD', processes, now, process)
end
if reported < least then
  return { -1 }
end
local scopes = {}
local lacking, what, wait = 0, 0, -1

local function slide(scope)
  local sums = redis.call('HMGET', scope.used, 'r', 't')
  if not sums[1] then
    redis.call('DEL', scope.ticks)
    return 0, 0
  end
  local requests, tokens = tonumber(sums[1]), tonumber(sums[2])
  local oldest = redis.call('LINDEX', scope.ticks, 0)
  local is_changed = false
  while oldest and tick - tonumber(oldest) > ticks do
    local gone = redis.call('HMGET', scope.used, 'r' .. oldest, 't' .. oldest)
    requests, tokens = requests - (gone[1] or 0), tokens - (gone[2] or 0)
    redis.call('HDEL', scope.used, 'r' .. oldest, 't' .. oldest)
    redis.call('LPOP', scope.ticks)
    oldest = redis.call('LINDEX', scope.ticks, 0)
    is_changed = true
  end
  if is_changed then
    redis.call('HSET', scope.used, 'r', requests, 't', tokens)
  end
  return requests, tokens
end

local function free_in(scope, kind, excess)
  local freed = 0
  for _, then_ in ipairs(redis.call('LRANGE', scope.ticks, 0, -1)) do
    freed = freed + (redis.call('HGET', scope.used, kind .. then_) or 0)
    if freed >= excess then
      return (then_ + ticks + 1) * tick_ms - now
    end
  end
  return (ticks + 1) * tick_ms
end

local function lacks(number, of_what, for_ms)
  if for_ms > wait then
    lacking, what, wait = number, of_what, for_ms
  end
end

for number = 1, (#KEYS - 1) / 3 do
  local at = 9 + (number - 1) * 4
  local scope = {
    used = KEYS[3 * number - 1], ticks = KEYS[3 * number], running = KEYS[3 * number + 1],
    limit = tonumber(ARGV[at + 1]), token_limit = tonumber(ARGV[at + 2]), places = tonumber(ARGV[at + 3]),
    take = tonumber(ARGV[at + 4]), calls = 0,
  }
  scopes[number] = scope
  scope.requests, scope.tokens = slide(scope)
  if scope.limit >= 0 and scope.requests + 1 > scope.limit then
    lacks(number, 1, free_in(scope, 'r', scope.requests + 1 - scope.limit))
  end
  if scope.token_limit >= 0 and scope.tokens + scope.take > scope.token_limit then
    lacks(number, 2, free_in(scope, 't', scope.tokens + scope.take - scope.token_limit))
  end
  if scope.places >= 0 then
    redis.call('ZREMRANGEBYSCORE', scope.running, '-inf', now)
    scope.calls = redis.call('ZCARD', scope.running)
    if scope.calls >= scope.places then
      lacks(number, 3, retry_place_ms)
    end
  end
end

local answer = { lacking, what, wait, tick, reported }
for _, scope in ipairs(scopes) do
  local newest = redis.call('LINDEX', scope.ticks, -1)
  if lacking == 0 then
    if not newest or tonumber(newest) < tick then
      redis.call('RPUSH', scope.ticks, tick)
      newest = tick
    end
    scope.requests, scope.tokens = scope.requests + 1, scope.tokens + scope.take
    redis.call('HSET', scope.used, 'r', scope.requests, 't', scope.tokens)
    redis.call('HINCRBY', scope.used, 'r' .. newest, 1)
    redis.call('HINCRBY', scope.used, 't' .. newest, scope.take)
    redis.call('PEXPIRE', scope.used, (ticks + 2) * tick_ms)
    redis.call('PEXPIRE', scope.ticks, (ticks + 2) * tick_ms)
    if scope.places >= 0 then
      redis.call('ZADD', scope.running, now + lease_ms, call)
      redis.call('PEXPIRE', scope.running, 2 * lease_ms)
      scope.calls = scope.calls + 1
    end
    answer[4] = tonumber(newest)
  end
  local reset = 0
  if newest then
    reset = (newest + ticks + 1) * tick_ms - now
  end
  for _, value in ipairs({ scope.requests, scope.tokens, scope.calls, reset }) do
    answer[#answer + 1] = value
  end
end
return answer
