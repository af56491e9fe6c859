-- A stand-in of the part of Reaper that the action calls; ExecProcess really runs the program. Arguments: the script,
-- the program, the project's folder, the fields that the user types, the button that the user presses (6: yes).

local script, program, folder, fields, button = arg[1], arg[2], arg[3], arg[4], tonumber(arg[5])
local item = { values = {} }
local BPM, BEATS = 93, 3

reaper = {
  GetExtState = function() return program end,
  GetCursorPosition = function() return 4.0 end,
  GetProjectPath = function() return folder end,
  GetUserInputs = function(title, count) return true, fields end,
  TimeMap2_timeToBeats = function(_, time)
    local beats = time * BPM / 60
    return beats % BEATS, beats // BEATS
  end,
  TimeMap2_beatsToTime = function(_, beats, measure) return (measure * BEATS + beats) * 60 / BPM end,
  TimeMap_GetTimeSigAtTime = function() return BEATS, 4, BPM end,
  ShowMessageBox = function(text)
    print("said " .. text:gsub("\n", " "))
    return button
  end,
  ExecProcess = function(command, timeout_ms)
    assert(timeout_ms > 0)
    local pipe = io.popen(command .. " 2>&1; echo $?")
    local output = pipe:read("a")
    pipe:close()
    local text, code = output:match("^(.-)(%d+)\n$")
    return code .. "\n" .. text
  end,
  time_precise = function() return 12.345 end,
  SetEditCurPos = function(time) print(string.format("cursor %.6f", time)) end,
  InsertMedia = function(path) print("inserted " .. path) end,
  GetSelectedMediaItem = function() return item end,
  SetMediaItemInfo_Value = function(found, name, value) print(string.format("item %s %.6f", name, value)) end,
  Undo_BeginBlock = function() end,
  Undo_EndBlock = function(text) print("undo " .. text) end,
  UpdateArrange = function() end,
}

dofile(script)
