class_name LoopmeterPlayer
extends Node
## Plays loops from a Loopmeter gateway: streams them in, changes on the bar, mixes adaptive layers.
##
## Every frame of sound is pushed by a schedule of our own, so loops and changes are exact to the frame whatever the frame
## rate of the game. With layers, one stem is made for each, all of one score and started together; intensity from 0 to
## 1 brings them in one after the other.

signal quoted(tokens: int)
signal progress(chunk: int, chunks: int, tokens: int)
signal ready_to_play(id: int)
signal failed(code: String, message: String)

const Loop = preload("loop.gd")
const Schedule = preload("schedule.gd")
const SAMPLE_RATE_HZ := 44100.0

@export var url := "http://127.0.0.1:8130"
## A short-lived client token from your own server (POST /v1/client-tokens). Never ship an API key.
@export var client_token := ""
@export var max_tokens := 2000
@export_range(1, 16) var quantise_bars := 1
@export_range(0.0, 1.0) var intensity := 1.0
@export_range(0.05, 1.0) var buffer_s := 0.15
@export var bus: StringName = &"Master"
## Played when no gateway answers: mono or stereo, 16 bit, and how many bars it has.
@export var fallback: AudioStreamWAV
@export var fallback_bars := 4

var _schedule := Schedule.new()
var _players: Array[AudioStreamPlayer] = []
var _sounds := {}  # id -> the layers' frames, Array[PackedVector2Array]
var _threads: Array[Thread] = []
var _ids := 0
var _closing := false


## Make a loop and bring it in on the bar. request is what POST /v1/loops takes, such as
## {"prompt": "dusty drums", "tempo_bpm": 92, "bars": 4, "key": "Am", "layers": ["drums", "bass"]}.
func ask(request: Dictionary) -> int:
	_ids += 1
	# Checksums and samples take longer than a frame may, so a thread does all of it.
	var thread := Thread.new()
	thread.start(_make.bind(_ids, request, url, client_token, max_tokens))
	_threads.append(thread)
	return _ids


func stop() -> void:
	_schedule.stop()
	_sounds.clear()
	for player in _players:
		player.stop()


func _process(_delta: float) -> void:
	for thread: Thread in _threads.filter(func(made: Thread) -> bool: return not made.is_alive()):
		thread.wait_to_finish()
		_threads.erase(thread)
	_schedule.quantise_bars = quantise_bars
	_feed()


func _exit_tree() -> void:
	_closing = true
	for thread in _threads:
		thread.wait_to_finish()


## In a thread: every stem of a loop, one after the other.
func _make(id: int, request: Dictionary, at: String, token: String, most: int) -> void:
	var layers := []
	for stem: String in request.get("layers", [""]):
		var part := request.duplicate()
		if stem != "":
			part["layers"] = [stem]
		var frames := _make_part(part, at, token, most)
		if frames.is_empty():
			return
		layers.append(frames)
	_bring.call_deferred(id, layers, int(request["bars"]))


func _make_part(part: Dictionary, at: String, token: String, most: int) -> PackedVector2Array:
	var loop := Loop.new()
	var pcm := PackedByteArray()
	var format := {}
	var completed := false
	loop.begin(at, token, part, most)
	while not loop.ended:
		if _closing:
			loop.cancel()
		for event: Dictionary in loop.poll():
			match event["name"]:
				"quoted":
					_tell.call_deferred(&"quoted", [int(event["tokens"])])
				"started":
					format = event
				"chunk":
					pcm.append_array(event["pcm"])
					var told := [int(event["index"]) + 1, int(format["chunks"]), int(event["tokens_total"])]
					_tell.call_deferred(&"progress", told)
				"ended":
					completed = event["state"] == "completed"
					if not completed and not _closing:
						_fail.call_deferred("failed", "expected a whole loop, found it %s" % event["state"])
				"failed":
					_fail.call_deferred(event["code"], event["message"])
		OS.delay_msec(2)
	if not completed:
		return PackedVector2Array()
	return frames_of(pcm, int(format["channels"]), int(format["bits"]))


func _tell(what: StringName, values: Array) -> void:
	callv(&"emit_signal", [what] + values)


func _fail(code: String, message: String) -> void:
	failed.emit(code, message)
	if fallback != null and _sounds.is_empty():
		_ids += 1
		_bring(_ids, [frames_of(fallback.data, 2 if fallback.stereo else 1, 16)], fallback_bars)


func _bring(id: int, layers: Array, bars: int) -> void:
	_sounds[id] = layers
	_schedule.offer(id, layers[0].size(), bars)
	while _players.size() < layers.size():
		_players.append(_new_player())
	ready_to_play.emit(id)


func _new_player() -> AudioStreamPlayer:
	var generator := AudioStreamGenerator.new()
	generator.mix_rate = SAMPLE_RATE_HZ
	generator.buffer_length = buffer_s
	var player := AudioStreamPlayer.new()
	player.stream = generator
	player.bus = bus
	add_child(player)
	return player


func _feed() -> void:
	if _sounds.is_empty():
		return
	for player in _players:
		if not player.playing:
			player.play()  # All in one call of _process, so that they begin in one step of the mixer.
	var room := 1 << 30
	for player in _players:
		room = mini(room, player.get_stream_playback().get_frames_available())
	for segment: Array in _schedule.segments(room):
		var layers: Array = _sounds[segment[0]]
		for number in range(_players.size()):
			var playback: AudioStreamGeneratorPlayback = _players[number].get_stream_playback()
			if number < layers.size():
				playback.push_buffer(layers[number].slice(segment[1], segment[2]))
			else:
				var silence := PackedVector2Array()
				silence.resize(segment[2] - segment[1])
				playback.push_buffer(silence)
		_forget_before(segment[0])
	for number in range(_players.size()):
		_players[number].volume_db = linear_to_db(maxf(0.0001, gain(number, _players.size(), intensity)))


func _forget_before(id: int) -> void:
	for old: int in _sounds.keys():
		if old < id:
			_sounds.erase(old)


## How loud a layer is: the first is always there, the others come in turn.
static func gain(layer: int, layers: int, at: float) -> float:
	if layer == 0:
		return 1.0
	return clampf(at * (layers - 1) - (layer - 1), 0.0, 1.0)


## PCM, little-endian and interleaved, as frames of left and right.
static func frames_of(pcm: PackedByteArray, channels: int, bits: int) -> PackedVector2Array:
	var width := bits / 8
	var count := pcm.size() / (channels * width)
	var found := PackedVector2Array()
	found.resize(count)
	for index in range(count):
		var at := index * channels * width
		var left := _sample(pcm, at, width)
		found[index] = Vector2(left, _sample(pcm, at + width, width) if channels == 2 else left)
	return found


static func _sample(pcm: PackedByteArray, at: int, width: int) -> float:
	# The two upper bytes, as signed 16 bits; a third one below them adds what 24 bits have more.
	var value := float(pcm.decode_s16(at + width - 2)) / 32768.0
	return value + (pcm[at] / 8388608.0 if width == 3 else 0.0)
