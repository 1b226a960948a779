-- Writes a dead letter after all, if nothing newer came for its keys: every write and every removal of a key, by whichever batch, takes the
-- key's mark away in the same script, and a letter that came later has put its own mark there.
--
-- KEYS  the dead letters; the keys of those; the keys to write
-- ARGV  1 the letter; then for each key what to do: "set" or "del", the value, and milliseconds, 0 for ever
--
-- The letter goes last: when a write is refused half way, it is still there, with all its marks, for the next attempt.
for i = 3, #KEYS do
  if redis.call('HGET', KEYS[2], KEYS[i]) ~= ARGV[1] then return 'newer' end
end
if #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) == 0 then return 'gone' end
for i = 3, #KEYS do
  local at = 3 * (i - 3) + 2
  if ARGV[at] == 'del' then
    redis.call('DEL', KEYS[i])
  elseif ARGV[at + 2] == '0' then
    redis.call('SET', KEYS[i], ARGV[at + 1])
  else
    redis.call('SET', KEYS[i], ARGV[at + 1], 'PX', ARGV[at + 2])
  end
end
for i = 3, #KEYS do redis.call('HDEL', KEYS[2], KEYS[i]) end
redis.call('XDEL', KEYS[1], ARGV[1])
return 'replayed'
