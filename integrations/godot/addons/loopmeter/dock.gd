@tool
extends VBoxContainer
## The editor's dock: see the price, then bake a loop into the project. The API key stays in the editor's own settings.

signal baked(path: String)

const Loop = preload("loop.gd")
const Wav = preload("wav.gd")
const KEY_SETTING := "loopmeter/api_key"

var _fields := {}
var _price: Button
var _bake: Button
var _told: Label
var _loop
var _pcm := PackedByteArray()
var _format := {}
var _tokens := 0


func _init() -> void:
	for field: Array in [
		["Gateway", "http://127.0.0.1:8130"],
		["API key", ""],
		["Prompt", "dusty lo-fi drums"],
		["Tempo (bpm)", "92"],
		["Bars", "4"],
		["Key", "Am"],
		["Layers", ""],
		["Seed", "0"],
		["Folder", "res://loops"],
	]:
		var label := Label.new()
		label.text = field[0]
		add_child(label)
		var edit := LineEdit.new()
		edit.text = field[1]
		edit.secret = field[0] == "API key"
		edit.text_changed.connect(_on_changed)
		add_child(edit)
		_fields[field[0]] = edit
	_price = _button("Price", _on_price)
	_bake = _button("Bake", _on_bake)
	_bake.disabled = true
	_told = Label.new()
	_told.autowrap_mode = TextServer.AUTOWRAP_WORD_SMART
	add_child(_told)


func _ready() -> void:
	var settings := EditorInterface.get_editor_settings()
	if settings.has_setting(KEY_SETTING):
		_fields["API key"].text = settings.get_setting(KEY_SETTING)


func _process(_delta: float) -> void:
	if _loop == null:
		return
	for event: Dictionary in _loop.poll():
		_hear(event)
	if _loop != null and _loop.ended:
		_loop = null


func _hear(event: Dictionary) -> void:
	match event["name"]:
		"quoted":
			_tokens = int(event["tokens"])
			_told.text = "%d tokens, %d frames" % [_tokens, int(event["frames"])]
			_bake.text = "Bake for at most %d tokens" % _tokens
			_bake.disabled = false
		"started":
			_format = event
			_pcm = PackedByteArray()
		"chunk":
			_pcm.append_array(event["pcm"])
			_told.text = "chunk %d of %d" % [int(event["index"]) + 1, int(_format["chunks"])]
		"ended":
			_save(int(event["tokens_charged"]))
		"failed":
			_told.text = "%s: %s" % [event["code"], event["message"]]


func _save(tokens_charged: int) -> void:
	var folder: String = _fields["Folder"].text
	DirAccess.make_dir_recursive_absolute(ProjectSettings.globalize_path(folder))
	var path := "%s/loop-%s.wav" % [folder, _format["job"]]
	var file := FileAccess.open(path, FileAccess.WRITE)
	if file == null:
		_told.text = "cannot write %s; the loop is paid: fetch %s again, free" % [path, _format["job"]]
		return
	var rate := int(_format["sample_rate_hz"])
	file.store_buffer(Wav.bytes_of(_pcm, rate, int(_format["channels"]), int(_format["bits"])))
	file.close()
	_told.text = "%d tokens charged: %s. Set Loop Mode to Forward when importing." % [tokens_charged, path]
	baked.emit(path)


func _on_price() -> void:
	EditorInterface.get_editor_settings().set_setting(KEY_SETTING, _fields["API key"].text)
	_begin(0)


func _on_bake() -> void:
	_begin(_tokens)


func _on_changed(_text: String) -> void:
	_bake.disabled = true


func _begin(max_tokens: int) -> void:
	var request := {
		"prompt": _fields["Prompt"].text,
		"tempo_bpm": float(_fields["Tempo (bpm)"].text),
		"bars": int(_fields["Bars"].text),
		"key": _fields["Key"].text,
		"seed": int(_fields["Seed"].text),
	}
	if _fields["Layers"].text != "":
		request["layers"] = _fields["Layers"].text.split(",")
	_loop = Loop.new()
	_loop.begin(_fields["Gateway"].text, _fields["API key"].text, request, max_tokens)


func _button(text: String, pressed: Callable) -> Button:
	var button := Button.new()
	button.text = text
	button.pressed.connect(pressed)
	add_child(button)
	return button
