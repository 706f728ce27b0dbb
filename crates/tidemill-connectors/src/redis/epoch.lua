-- Writes one part of an epoch to the keys of one slot and says so in the marker, or does nothing.
--
-- KEYS: 1 marker (a hash), 2 index of the keys of a complete result, 3 the index in the making,
--       4... the key of each change
-- ARGV: 1 generation, 2 nonce, 3 incarnation, 4 epoch, 5 epoch the marker must hold ('' any, '-' none),
--       6 part, 7 '1' in the last part, 8 '1' for a complete result, 9 '1' takes an older owner's slot,
--       10... each change: its word, the number of its arguments, the arguments
-- Answers: OK, DONE (held already), FENCED owner, BACK epoch, PART (an earlier part is gone),
--       TYPE key, NEWER key. Only OK has written anything.
local marker, index, fresh = KEYS[1], KEYS[2], KEYS[3]
local generation, incarnation, epoch, part = ARGV[1], ARGV[3], ARGV[4], tonumber(ARGV[6])
local owner = generation .. '/' .. ARGV[2]

local held = redis.call('HGET', marker, 'owner')
if held ~= owner then
  local other = held and tonumber(string.match(held, '^%d+')) or 0
  if other >= tonumber(generation) then return {'FENCED', held} end
  if ARGV[9] ~= '1' then return {'BACK', redis.call('HGET', marker, incarnation) or ''} end
end
local stored = redis.call('HGET', marker, incarnation)
if stored and tonumber(stored) >= tonumber(epoch) then return {'DONE', stored} end
if ARGV[5] ~= '' and (stored or '-') ~= ARGV[5] then return {'BACK', stored or ''} end
if part > 0 and redis.call('HGET', marker, incarnation .. '/part') ~= epoch .. '/' .. (part - 1) then
  return {'PART', ''}
end

-- what goes before the epoch in the ids of streams: past all that other incarnations have used
local base = tonumber(redis.call('HGET', marker, incarnation .. '/base') or '-1')
if base < 0 then
  base = 1
  local fields = redis.call('HGETALL', marker)
  local value = {}
  for at = 1, #fields, 2 do value[fields[at]] = fields[at + 1] end
  for field, text in pairs(value) do
    if field ~= 'owner' and not string.find(field, '/', 1, true) then
      base = math.max(base, tonumber(value[field .. '/base'] or '1') + tonumber(text) + 1)
    end
  end
end
local first = string.format('%.0f', base + tonumber(epoch))

-- all that can be refused is looked at before the first write: a script is not rolled back
local wants = { merge = 'hash', newer = 'hash', append = 'stream' }
local at = 10
for number = 4, #KEYS do
  local key, word = KEYS[number], ARGV[at]
  if wants[word] then
    local kind = redis.call('TYPE', key)['ok']
    if kind ~= 'none' and kind ~= wants[word] then return {'TYPE', key .. ' is a ' .. kind} end
    if word == 'append' and kind == 'stream' then
      local info = redis.call('XINFO', 'STREAM', key)
      for field = 1, #info, 2 do
        if info[field] == 'last-generated-id' and tonumber(string.match(info[field + 1], '^%d+')) > tonumber(first) then
          return {'NEWER', key}
        end
      end
    end
  end
  at = at + 2 + tonumber(ARGV[at + 1])
end

-- seconds and nanoseconds of a protobuf Timestamp
local function instant(bytes)
  local seconds, nanos, at = 0, 0, 1
  while at <= #bytes do
    local field = math.floor(string.byte(bytes, at) / 8)
    local value, scale = 0, 1
    at = at + 1
    while true do
      local byte = string.byte(bytes, at)
      value = value + (byte % 128) * scale
      scale = scale * 128
      at = at + 1
      if byte < 128 then break end
    end
    if value >= 9223372036854775808 then value = value - 18446744073709551616 end
    if field == 1 then seconds = value else nanos = value end
  end
  return seconds, nanos
end

local apply = {}
function apply.delete(key) redis.call('DEL', key) end
function apply.hash(key, from, to)
  redis.call('DEL', key)
  redis.call('HSET', key, unpack(ARGV, from, to))
end
function apply.merge(key, from, to) redis.call('HSET', key, unpack(ARGV, from, to)) end
function apply.forget(key, from, to) redis.call('HDEL', key, unpack(ARGV, from, to)) end
function apply.value(key, from) redis.call('SET', key, ARGV[from]) end
function apply.expire(key, from) redis.call('PEXPIRE', key, ARGV[from]) end
function apply.expire_at(key, from) redis.call('PEXPIREAT', key, ARGV[from]) end
-- number in the epoch, most entries ('' without bound), fields; an id that was used already is a repeat
function apply.append(key, from, to)
  local id, added = first .. '-' .. ARGV[from], nil
  if ARGV[from + 1] == '' then
    added = redis.pcall('XADD', key, id, unpack(ARGV, from + 2, to))
  else
    added = redis.pcall('XADD', key, 'MAXLEN', '~', ARGV[from + 1], id, unpack(ARGV, from + 2, to))
  end
  if type(added) == 'table' and added.err and not string.find(added.err, 'equal or smaller', 1, true) then
    error(added.err)
  end
end
-- field of the timestamp, the timestamp, time to live in ms ('' for ever), fields: unless a newer one is there
function apply.newer(key, from, to)
  local there = redis.call('HGET', key, ARGV[from])
  if there then
    local seconds, nanos = instant(there)
    local our_seconds, our_nanos = instant(ARGV[from + 1])
    if seconds > our_seconds or (seconds == our_seconds and nanos > our_nanos) then return end
  end
  redis.call('HSET', key, ARGV[from], ARGV[from + 1], unpack(ARGV, from + 3, to))
  if ARGV[from + 2] ~= '' then redis.call('PEXPIRE', key, ARGV[from + 2]) end
end

-- the first write refuses for want of memory; once a script has written, the server lets it finish
redis.call('HSET', marker, 'owner', owner, incarnation .. '/base', string.format('%.0f', base))
local complete = ARGV[8] == '1'
if complete and part == 0 then redis.call('DEL', fresh) end
at = 10
for number = 4, #KEYS do
  local count = tonumber(ARGV[at + 1])
  apply[ARGV[at]](KEYS[number], at + 2, at + 1 + count)
  if complete then redis.call('SADD', fresh, KEYS[number]) end
  at = at + 2 + count
end
if ARGV[7] ~= '1' then
  redis.call('HSET', marker, incarnation .. '/part', epoch .. '/' .. part)
  return {'OK', ''}
end
if complete then
  for _, key in ipairs(redis.call('SDIFF', index, fresh)) do redis.call('DEL', key) end
  redis.call('DEL', index)
  if redis.call('EXISTS', fresh) == 1 then redis.call('RENAME', fresh, index) end
end
redis.call('HSET', marker, incarnation, epoch)
redis.call('HDEL', marker, incarnation .. '/part')
return {'OK', ''}
