-- What the ReaScript needs and Reaper does not have: the command line, the gateway's JSON, the bar. No Reaper calls here,
-- so that all of it runs in any Lua 5.3. Read loopmeter_make.lua first.

local loopmeter = {}

-- A word of a command line, as Reaper's ExecProcess splits it: quoted, and without what cannot be quoted. A backslash
-- before the closing quote would take it along on Windows.
function loopmeter.quoted(word)
  local text = tostring(word):gsub('["%c]', " "):gsub("\\+$", "")
  return '"' .. text .. '"'
end

-- The command for the price (action "quote") or the loop (action "loop"). asked has prompt, bars, key, seed, bpm, beats;
-- into has wav, midi and max_tokens, for the loop.
function loopmeter.command(program, action, asked, into)
  local words = { program, action, "--json" }
  local function option(name, value)
    if value ~= nil and value ~= "" then
      words[#words + 1] = name
      words[#words + 1] = value
    end
  end
  option("--bpm", string.format("%.6f", asked.bpm))
  option("--bars", asked.bars)
  option("--beats", asked.beats)
  option("--key", asked.key)
  option("--seed", asked.seed)
  if into then
    option("--output", into.wav)
    option("--midi", into.midi)
    option("--max-tokens", into.max_tokens)
  end
  -- A prompt may begin with a dash.
  words[#words + 1] = "--"
  words[#words + 1] = asked.prompt
  for index, word in ipairs(words) do words[index] = loopmeter.quoted(word) end
  return table.concat(words, " ")
end

-- A whole number of one JSON object as the program prints it, or nil.
function loopmeter.number(json, name)
  local found = json:match('"' .. name .. '"%s*:%s*(%-?%d+)')
  return found and math.tointeger(tonumber(found))
end

-- Exit code and output of ExecProcess, which gives them as one string.
function loopmeter.result(executed)
  if executed == nil then return nil, "the program did not start" end
  local code, output = executed:match("^(%-?%d+)\r?\n?(.*)$")
  return tonumber(code), output or ""
end

-- What GetUserInputs gave, as a request; nil and a message where it is wrong.
function loopmeter.asked(fields, bpm, beats, note_value)
  local prompt, bars, key, seed = fields:match("^(.-)\n(.-)\n(.-)\n(.-)$")
  bars, seed = tonumber(bars), tonumber(seed)
  if not prompt or prompt:match("^%s*$") then return nil, "expected a prompt, found none" end
  if not bars or bars < 1 or bars ~= math.floor(bars) then return nil, "expected a whole number of bars from 1 on" end
  if not seed or seed < 0 or seed ~= math.floor(seed) then return nil, "expected a seed from 0 on" end
  if note_value ~= 4 or beats < 2 or beats > 6 then
    return nil, string.format("expected a time signature of 2/4 to 6/4 at the cursor, found %d/%d", beats, note_value)
  end
  return {
    prompt = prompt, bars = math.tointeger(bars), key = key, seed = math.tointeger(seed), bpm = bpm,
    beats = math.tointeger(beats)
  }
end

-- A file name without its ending.
function loopmeter.name(asked, stamp)
  local words = asked.prompt:gsub("[^%w]+", "-"):gsub("^%-+", ""):sub(1, 40):gsub("%-+$", "")
  return string.format("loop-%s-%d", words ~= "" and words or "loop", stamp)
end

return loopmeter
