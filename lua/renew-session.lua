-- Renews the session of a server.
--
--@takes 1 3
-- KEYS: sessions
-- ARGV: its number, timeout (ms) and identity of the server, life of the key (s)
-- Result: 1
-- Bound: one session
--@include session
write_session(KEYS[1], ARGV[1], ARGV[2], redis.call('TIME'), ARGV[3])
return 1
