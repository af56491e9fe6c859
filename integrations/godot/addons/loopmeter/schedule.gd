extends RefCounted
## Which frames of which loop come next. Pure: frames in, segments out. A loop that is offered begins on the next bar (or
## every n-th bar) of the one that plays, exact to the frame, and at once when none plays.

var quantise_bars = 1

var _current
var _next
var _at = 0


## A loop of so many frames and bars, under an id of yours. It replaces one that was offered and has not begun.
func offer(id, frames, bars):
	_next = {"id": id, "frames": frames, "bars": bars}


func stop():
	_current = null
	_next = null


## The next count frames: a list of [id, from, to]. Shorter than count only where nothing plays.
func segments(count):
	var found = []
	while count > 0 and (_current != null or _next != null):
		if _next != null and (_current == null or _boundary() == _at):
			_current = _next
			_next = null
			_at = 0
		var stop_at = _current["frames"]
		if _next != null:
			stop_at = _boundary()
		var taken = int(min(count, stop_at - _at))
		found.append([_current["id"], _at, _at + taken])
		count -= taken
		_at += taken
		if _at == _current["frames"]:
			_at = 0
	return found


func _boundary():
	# Bars need not be whole frames: count them from the start of the round, and round each.
	var phrase = float(_current["frames"]) * max(1, quantise_bars) / _current["bars"]
	var number = ceil((_at - 0.5) / phrase)
	return int(min(round(number * phrase), _current["frames"]))
