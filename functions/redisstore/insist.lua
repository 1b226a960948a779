-- Lets no more batches of the session before through, while another one is being opened.
--
-- KEYS  the state; the keys of the lanes of the session before
-- ARGV  1 the session that is being opened
redis.call('HSET', KEYS[1], 'opening', ARGV[1])
if #KEYS > 1 then redis.call('DEL', unpack(KEYS, 2)) end
return 'insisted'
