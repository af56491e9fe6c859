# What test_godot.py asks the add-on's protocol to do, on the Godot 3 server.
extends SceneTree

const Loop = preload("res://loop.gd")
const Schedule = preload("res://schedule.gd")
const Wav = preload("res://wav.gd")

var url = OS.get_environment("LOOPMETER_URL")
var key = OS.get_environment("LOOPMETER_API_KEY")
var asked = {"prompt": "dusty drums", "tempo_bpm": 96, "bars": 2, "key": "Am", "seed": 7}


func _init():
	run("q", asked, 0)
	run("take1", asked, 5000)
	run("long", {"prompt": "dusty drums", "tempo_bpm": 40, "bars": 50, "key": "Am"}, 20000)
	run("bad", {"prompt": "dusty drums", "tempo_bpm": 96, "bars": 2, "key": "H"}, 5000)
	run("dear", asked, 1)
	key = "lm_wrong"
	run("stranger", asked, 5000)
	url = "http://127.0.0.1:9"
	run("nobody", asked, 5000)
	plan()
	quit()


func run(id, request, max_tokens):
	var loop = Loop.new()
	loop.begin(url, key, request, max_tokens)
	var pcm = PoolByteArray()
	var format = {}
	var until = OS.get_ticks_msec() + 20000
	while not loop.ended and OS.get_ticks_msec() < until:
		for event in loop.poll():
			match event["name"]:
				"quoted":
					say(["quoted", id, event["tokens"], event["frames"], event["chunks"]])
				"started":
					format = event
					say(["accepted", id, event["job"], 800])
				"chunk":
					pcm.append_array(event["pcm"])
					say(["progress", id, int(event["index"]) + 1, format["chunks"], event["tokens_total"]])
					if id == "long":
						loop.cancel()
				"ended":
					if event["state"] == "completed":
						save(id, pcm, format, event)
					else:
						say([event["state"], id, event["tokens_charged"]])
				"failed":
					say(["error", id, event["code"], event["message"]])
		OS.delay_msec(1)


func save(id, pcm, format, event):
	var path = OS.get_environment("OUT") + "/" + id + ".wav"
	var file = File.new()
	file.open(path, File.WRITE)
	file.store_buffer(Wav.bytes_of(pcm, int(format["sample_rate_hz"]), int(format["channels"]), int(format["bits"])))
	file.close()
	say(["wrote", id, path, event["tokens_charged"]])


func plan():
	var schedule = Schedule.new()
	schedule.offer("a", 1001, 4)
	say(["plan", "first", schedule.segments(1101)])
	schedule.offer("b", 600, 2)
	say(["plan", "change", schedule.segments(400)])
	schedule.offer("c", 500, 1)
	schedule.quantise_bars = 2
	say(["plan", "phrase", schedule.segments(700)])
	schedule.stop()
	say(["plan", "stopped", schedule.segments(10)])


func say(words):
	var line = ""
	for word in words:
		line += str(word) + " "
	print("heard: " + line.strip_edges())
