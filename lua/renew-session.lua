-- Renews the session of a server.
--
--@takes 1 2
-- KEYS: sessions
-- ARGV: its number, timeout (ms) and identity of the server; life of the key (s)
-- Result: 1
-- Bound: one session
--@include session
write_session(KEYS[1], ARGV[1], redis.call('TIME'), ARGV[2])
return 1
