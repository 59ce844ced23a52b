-- Lists sessions that have not been renewed for a while: of a live server none is among them. Changes nothing.
--
--@takes 1 2
-- KEYS: sessions
-- ARGV: for how long (ms), most
-- Result: the time (ms), then of each its number, timeout (ms) and identity in one text, and when it was renewed (ms)
-- Bound: the number asked for (256)
--@include ms-of
local time = redis.call('TIME')
local now_ms = ms_of(time)
local result = redis.call('ZRANGEBYSCORE', KEYS[1], 1000000000000, now_ms - ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[2])
table.insert(result, 1, now_ms)
return result
