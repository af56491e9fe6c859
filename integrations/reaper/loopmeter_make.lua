-- ReaScript action: make a loop at the project's tempo, and put it at the next bar after the edit cursor.
--
-- It runs the command line "loopmeter", because Reaper's Lua has no sockets of its own. The price is shown first; only
-- then is anything made. Reaper waits meanwhile: a loop of ten seconds takes about a second.
-- The program's path: extended state "loopmeter", "program"; "loopmeter" unless told.

local here = debug.getinfo(1, "S").source:match("^@(.*[/\\])") or ""
local loopmeter = dofile(here .. "loopmeter.lua")
local MAKE_MS_MAX = 600000

local function say(text)
  reaper.ShowMessageBox(text, "Loopmeter", 0)
end

local function run(program, action, asked, into)
  local code, output = loopmeter.result(reaper.ExecProcess(loopmeter.command(program, action, asked, into), MAKE_MS_MAX))
  if code ~= 0 then
    say(string.format("%s\n(exit code %s)", output, tostring(code)))
    return nil
  end
  return output
end

-- The time of the first bar that begins at the cursor or behind it.
local function next_bar(cursor)
  local beats, measure = reaper.TimeMap2_timeToBeats(0, cursor)
  if beats > 1e-6 then measure = measure + 1 end
  return reaper.TimeMap2_beatsToTime(0, 0, measure)
end

local function ask(at)
  local beats, note_value, bpm = reaper.TimeMap_GetTimeSigAtTime(0, at)
  local given, fields = reaper.GetUserInputs(
    "Loopmeter", 4, "Prompt,Bars,Key,Seed,extrawidth=200,separator=\n", "dusty lo-fi drums\n4\nAm\n0")
  if not given then return nil end
  local asked, wrong = loopmeter.asked(fields, bpm, beats, note_value)
  if not asked then say(wrong) end
  return asked
end

local function insert(path, at, length)
  reaper.SetEditCurPos(at, false, false)
  reaper.InsertMedia(path, 0) -- 0: on the selected track.
  local item = reaper.GetSelectedMediaItem(0, 0)
  if not item then
    say("the loop is made: " .. path .. "\nselect a track, and insert it there")
    return
  end
  reaper.SetMediaItemInfo_Value(item, "D_POSITION", at)
  reaper.SetMediaItemInfo_Value(item, "D_LENGTH", length)
  reaper.SetMediaItemInfo_Value(item, "B_LOOPSRC", 1)
  -- A loop joins its own end; fades at the edges would make a hole there.
  reaper.SetMediaItemInfo_Value(item, "D_FADEINLEN", 0)
  reaper.SetMediaItemInfo_Value(item, "D_FADEOUTLEN", 0)
end

local function main()
  local program = reaper.GetExtState("loopmeter", "program")
  if program == "" then program = "loopmeter" end
  local at = next_bar(reaper.GetCursorPosition())
  local asked = ask(at)
  if not asked then return end
  local price = run(program, "quote", asked)
  if not price then return end
  local tokens = loopmeter.number(price, "tokens")
  if reaper.ShowMessageBox(tokens .. " tokens. Make it?", "Loopmeter", 4) ~= 6 then return end -- 6: yes.
  local stem = reaper.GetProjectPath() .. "/" .. loopmeter.name(asked, math.floor(reaper.time_precise() * 1000))
  local into = { wav = stem .. ".wav", midi = stem .. ".mid", max_tokens = tokens }
  if not run(program, "loop", asked, into) then return end
  reaper.Undo_BeginBlock()
  insert(into.wav, at, asked.bars * asked.beats * 60 / asked.bpm)
  reaper.Undo_EndBlock("Insert a Loopmeter loop", -1)
  reaper.UpdateArrange()
end

main()
