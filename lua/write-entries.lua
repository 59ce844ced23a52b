-- Rewrites the list of a scheduler's entries.
--
--@takes 1 1+
-- KEYS: the list
-- ARGV: life (s), then the entries
-- Bound: the entries of one scheduler
redis.call('DEL', KEYS[1])
for i = 2, #ARGV, 1000 do
    redis.call('LPUSH', KEYS[1], unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 0
