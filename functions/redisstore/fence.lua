-- The one script that writes for a session. It looks whether the batch is the next of its lane, does the writes, and then
-- says so in the state, so that a late, doubled or foreign batch changes nothing.
--
-- KEYS  the state; the dead letters; the keys of those; the lane's key; keys to set; keys to set that expire; keys to set if they are there; keys to delete
-- ARGV  1 session  2 lane  3 seq  4 after, one count a lane  5 through  6 seal
--       7 how many fields of the state follow, each with its value (backfills; how far a truncate has come)
--       8 how many keys to set  9 how many of those that expire  10 how many of those that must be there
--       11 "1" to advance the state, "0" for a part of a truncate, whose last part advances it
--       12 how many dead letters  13 how many of them to keep  14 for how many milliseconds
--       15 "1" when the keys to set have been set by the command before, in the same transaction, and the lane's key with them
--       then the fields; then a value for each key to set; then value and milliseconds for each that expires or must be there, where 0
--       milliseconds leave the key's own expiry as it is; then for each letter how many arguments its fields take, and how many keys it has,
--       and both
--
-- Redis neither undoes nor repeats what a script did before it failed. So the state comes last, and in one command: when a write is
-- refused half way (out of memory, a missing right), the lane has not advanced, and the next attempt writes the same absolute
-- values again.
local state, lane = KEYS[1], 'lane:' .. ARGV[2]
local seq = tonumber(ARGV[3])
local through, seal = ARGV[5], ARGV[6]
local fields, plain, expiring, refreshed = 2 * tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])

local wanted, answered = { 'session', lane, 'count', 'sealed' }, {}
for count in string.gmatch(ARGV[4], '%d+') do
  answered[#answered + 1] = tonumber(count)
  wanted[#wanted + 1] = 'lane:' .. #answered - 1
end
wanted[#wanted + 1] = 'opening'
local found = redis.call('HMGET', state, unpack(wanted))
local session, progress, count, sealed = found[1], found[2], tonumber(found[3] or 0), found[4]
if not session then return 'lost state' end
if session ~= ARGV[1] or found[#wanted] then return 'fenced' end
if not progress or not sealed then return 'lost state' end
local applied, reached = string.match(progress, '^(%d+) (.+)$')
applied = tonumber(applied)
if applied >= seq then return 'duplicate' end
if applied < seq - 1 then return 'lost lane' end
-- Redis forgot a batch, perhaps of another lane, that it had answered for: then the seal, which counts on it, is not true.
for i = 1, #answered do
  if answered[i] > 0 and answered[i] > tonumber(string.match(found[4 + i] or '0', '^%d+')) then return 'lost batch' end
end
local mark = ARGV[1] .. ' ' .. ARGV[3]
if ARGV[15] == '1' and redis.call('GET', KEYS[4]) ~= mark then return 'nothing set' end

-- ahead compares hex numbers piece by piece. Comparing them as text would follow the server's locale.
local function ahead(a, b, pieces)
  local p, q = { string.match(a, pieces) }, { string.match(b, pieces) }
  for i = 1, #p do
    local x, y = tonumber(p[i], 16), tonumber(q[i], 16)
    if x ~= y then return x > y end
  end
  return false
end
if ahead(through, reached, '^(%x%x%x%x%x%x%x%x)(%x%x%x%x%x%x%x%x)%-(%x+)$') then reached = through end
if ahead(seal, sealed, '^(%x+)/(%x+)$') then sealed = seal end

-- Lua unpacks no more than some thousands of values at once.
local chunk = 1000

local value = 15 + fields
for first = 1, plain, chunk do
  local last = math.min(first + chunk - 1, plain)
  local set, n = {}, 0
  for i = first, last do
    set[n + 1], set[n + 2], n = KEYS[4 + i], ARGV[value + i], n + 2
  end
  redis.call('MSET', unpack(set))
end
value = value + plain
for i = 1, expiring do
  redis.call('SET', KEYS[4 + plain + i], ARGV[value + 2 * i - 1], 'PX', ARGV[value + 2 * i])
end
value = value + 2 * expiring
for i = 1, refreshed do
  local key, text, ms = KEYS[4 + plain + expiring + i], ARGV[value + 2 * i - 1], ARGV[value + 2 * i]
  if ms == '0' then
    redis.call('SET', key, text, 'XX', 'KEEPTTL')
  else
    redis.call('SET', key, text, 'XX', 'PX', ms)
  end
end
value = value + 2 * refreshed
for first = 5 + plain + expiring + refreshed, #KEYS, chunk do
  redis.call('DEL', unpack(KEYS, first, math.min(first + chunk - 1, #KEYS)))
end
-- A letter whose key has been written since must not be written any more, and one of a newer letter takes its place.
local letters, older = tonumber(ARGV[12]), {}
if redis.call('EXISTS', KEYS[3]) == 1 then
  local at = value
  for _ = 1, letters do
    local first = at + 3 + tonumber(ARGV[at + 1])
    at = first - 1 + tonumber(ARGV[at + 2])
    for i = first, at do older[#older + 1] = redis.call('HGET', KEYS[3], ARGV[i]) or nil end
  end
  for first = 5, #KEYS, chunk do
    redis.call('HDEL', KEYS[3], unpack(KEYS, first, math.min(first + chunk - 1, #KEYS)))
  end
end
if ARGV[11] ~= '1' then
  if fields > 0 then redis.call('HSET', state, unpack(ARGV, 16, 15 + fields)) end
  return 'applied'
end

for _, id in ipairs(older) do redis.call('XDEL', KEYS[2], id) end
if letters > 0 then
  local at, newest = value, nil
  for _ = 1, letters do
    local parts, keys = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    newest = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[13], '*', unpack(ARGV, at + 3, at + 2 + parts))
    at = at + 2 + parts
    for i = at + 1, at + keys do redis.call('HSET', KEYS[3], ARGV[i], newest) end
    at = at + keys
  end
  redis.call('XTRIM', KEYS[2], 'MINID', '~', string.format('%.0f', math.max(0, tonumber(string.match(newest, '^%d+')) - tonumber(ARGV[14]))))
  -- What is left of letters that are gone.
  if redis.call('HLEN', KEYS[3]) > redis.call('XLEN', KEYS[2]) then
    local ms, n = string.match(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1][1], '^(%d+)%-(%d+)$')
    local marked = redis.call('HGETALL', KEYS[3])
    for i = 1, #marked, 2 do
      local p, q = string.match(marked[i + 1], '^(%d+)%-(%d+)$')
      local sooner = tonumber(ms) - tonumber(p)
      if sooner > 0 or sooner == 0 and tonumber(q) < tonumber(n) then redis.call('HDEL', KEYS[3], marked[i]) end
    end
  end
end

-- Whoever has looked at the lane before, and is about to write, shall see that it is another one now.
if ARGV[15] ~= '1' then redis.call('SET', KEYS[4], mark) end
redis.call('HSET', state, lane, ARGV[3] .. ' ' .. reached, 'sealed', sealed, 'count', string.format('%.0f', count + 1), unpack(ARGV, 16, 15 + fields))
return 'applied'
