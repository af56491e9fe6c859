ardour {
	["type"] = "EditorAction",
	name = "Loopmeter: bring in the loop",
	license = "MIT",
	author = "Loopmeter",
	description = [[Puts the loop that 'loopmeter adapter ardour' has made on its track, at its bar, in the session that is open.]]
}

-- The adapter leaves a note in the session's folder: the sound, the track, the first frame. This puts the sound there,
-- as one step that can be undone, and answers in a file beside it: "done", or what is wrong.
function factory () return function ()
	local note_path = ARDOUR.LuaAPI.build_filename (Session:path (), "loopmeter-note.txt")
	local answer_path = ARDOUR.LuaAPI.build_filename (Session:path (), "loopmeter-answer.txt")

	local function read_note ()
		local file = io.open (note_path, "r")
		if not file then
			error ("expected a loop to bring in, found none; run 'loopmeter adapter ardour' first", 0)
		end
		local note = {}
		for line in file:lines () do
			local name, value = line:match ("^(%a+)=(.*)$")
			if name then note[name] = value end
		end
		file:close ()
		os.remove (note_path)
		return note
	end

	local function find_track (name)
		local route = Session:route_by_name (name)
		local track = route:isnil () and route or route:to_track ()
		if route:isnil () or track:isnil () or track:to_audio_track ():isnil () then
			error ("expected an audio track '" .. name .. "', found none", 0)
		end
		return track
	end

	-- Ardour's own import would also place the sound, but on the track that is selected, and with fades.
	local function embed (sound)
		local known = {}
		for id, _ in ARDOUR.RegionFactory.regions ():iter () do
			known[id:to_s ()] = true
		end
		local files = C.StringVector ()
		files:push_back (sound)
		local nowhere = Temporal.timepos_t (0)
		Editor:do_embed (files, Editing.ImportDistinctFiles, Editing.ImportAsRegion, nowhere, ARDOUR.PluginInfo (), ARDOUR.Track ())
		for id, region in ARDOUR.RegionFactory.regions ():iter () do
			if not known[id:to_s ()] then return region end
		end
		error ("expected Ardour to take " .. sound .. ", found that it did not", 0)
	end

	local function bring_in (note)
		local playlist = find_track (note.track):playlist ()
		local region = ARDOUR.RegionFactory.clone_region (embed (note.sound), true, false)
		-- A loop joins its own end without a click; a fade at its edges would make one.
		region:to_audioregion ():set_fade_in_active (false)
		region:to_audioregion ():set_fade_out_active (false)
		Session:begin_reversible_command ("Loopmeter")
		playlist:to_stateful ():clear_changes ()
		playlist:add_region (region, Temporal.timepos_t (math.tointeger (tonumber (note.frame))), 1, false)
		Session:add_stateful_diff_command (playlist:to_statefuldestructible ())
		Session:commit_reversible_command (nil)
	end

	local good, problem = pcall (function () bring_in (read_note ()) end)
	local answer = io.open (answer_path .. ".part", "w")
	if answer then
		answer:write (good and "done" or tostring (problem), "\n")
		answer:close ()
		os.rename (answer_path .. ".part", answer_path)
	end
	print ("Loopmeter: " .. (good and "the loop is in" or tostring (problem)))
end end

function icon () return function (ctx, width, height, fg)
	ctx:set_source_rgba (ARDOUR.LuaAPI.color_to_rgba (fg))
	ctx:set_line_width (1)
	ctx:arc (width / 2, height / 2, math.min (width, height) / 2 - 3, 0.6, 5.7)
	ctx:stroke ()
	ctx:rectangle (width / 2 - 1, height / 2 - 4, 2, 8)
	ctx:fill ()
end end
