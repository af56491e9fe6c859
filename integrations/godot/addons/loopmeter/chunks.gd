extends RefCounted
## The chunk protocol: bytes in, events out. The bytes are "LMCHUNK" and a version, then records of a type (1 byte), the
## payload's length and its crc32 over type, length and payload (4 bytes each, big-endian), and the payload.
##
## take() gives dictionaries: {name = "started", ...}, {name = "chunk", pcm, index, ...}, {name = "ended", ...}, or
## {name = "broken", message}, after which nothing more can be trusted.

const PREAMBLE = [76, 77, 67, 72, 85, 78, 75, 1]
const RECORD_BYTES_MAX = 8388608

var started = {}

var _buffer = StreamPeerBuffer.new()
var _waiting = PackedByteArray()
var _preamble_read = false
var _next_index = 0
var _crc_table = []


func _init():
	_buffer.big_endian = true
	for entry in range(256):
		for _bit in range(8):
			entry = (0xedb88320 ^ (entry >> 1)) if entry & 1 else (entry >> 1)
		_crc_table.append(entry)


func take(data):
	_waiting.append_array(data)
	var events = []
	_buffer.data_array = _waiting
	var at = 0
	if not _preamble_read:
		if _waiting.size() < 8:
			return events
		for i in range(8):
			if _waiting[i] != PREAMBLE[i]:
				return [_broken("a stream of chunks, version 1")]
		_preamble_read = true
		at = 8
	while _waiting.size() - at >= 9:
		_buffer.seek(at)
		var kind = _buffer.get_u8()
		var length = _buffer.get_u32()
		var crc = _buffer.get_u32()
		if length > RECORD_BYTES_MAX:
			return [_broken("a record of at most %d bytes" % RECORD_BYTES_MAX)]
		if _waiting.size() - at < 9 + length:
			break
		var payload = _buffer.get_data(length)[1]
		_buffer.seek(at)
		if _crc(_buffer.get_data(5)[1], payload) != crc:
			return [_broken("a record whose checksum is right")]
		var event = _decode(kind, payload)
		if event != null:
			events.append(event)
		at += 9 + length
	_buffer.seek(at)
	_waiting = _buffer.get_data(_waiting.size() - at)[1]
	return events


func _decode(kind, payload):
	match kind:
		75:  # K: keep-alive
			return null
		83:  # S: started
			started = _json(payload, "started")
			_next_index = int(started.get("first_index", 0))
			return started
		67:  # C: chunk
			return _chunk(payload)
		69:  # E: ended
			return _json(payload, "ended")
	return _broken("another record than %d" % kind)


func _chunk(payload):
	var reader = StreamPeerBuffer.new()
	reader.big_endian = true
	reader.data_array = payload
	var meter_bytes = reader.get_u32() if payload.size() >= 4 else 0
	if started.size() == 0 or meter_bytes == 0 or meter_bytes > payload.size() - 4:
		return _broken("a meter before the sound")
	var event = _json(reader.get_data(meter_bytes)[1], "chunk")
	event["pcm"] = reader.get_data(payload.size() - 4 - meter_bytes)[1]
	if int(event.get("index", -1)) != _next_index:
		return _broken("chunk %d" % _next_index)
	var pcm_bytes = int(event["frames"]) * int(started["channels"]) * int(started["bits"]) / 8
	if event["pcm"].size() != pcm_bytes:
		return _broken("%d bytes of sound" % pcm_bytes)
	_next_index += 1
	return event


func _json(payload, name):
	var parsed = JSON.parse_string(payload.get_string_from_utf8())
	if typeof(parsed) != TYPE_DICTIONARY:
		return _broken("JSON in the record %s" % name)
	parsed["name"] = name
	return parsed


func _broken(expected):
	return {"name": "broken", "message": "expected %s; resume the loop at its next chunk, free" % expected}


func _crc(head, payload):
	var crc = 0xffffffff
	for byte in head:
		crc = _crc_table[(crc ^ byte) & 0xff] ^ (crc >> 8)
	for byte in payload:
		crc = _crc_table[(crc ^ byte) & 0xff] ^ (crc >> 8)
	return crc ^ 0xffffffff
