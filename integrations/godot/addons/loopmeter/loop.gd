extends RefCounted
## One loop from its price to its last chunk, moved on by poll(), which gives events in order:
## {name = "quoted", tokens, frames, chunks}, {name = "started", job, frames, channels, bits, sample_rate_hz},
## {name = "chunk", index, frames, tokens_total, pcm}, {name = "ended", state, tokens_charged} and, at any time,
## {name = "failed", code, message}. After "ended" or "failed" nothing follows.
##
## A stream that breaks is taken up at the next chunk, which costs nothing.

const Call = preload("call.gd")
const Chunks = preload("chunks.gd")
const CHUNKS_TYPE = "application/vnd.loopmeter.chunks"
const RESUMES_MAX = 5

var job = ""
var ended = false

var _url = ""
var _key = ""
var _request = {}
var _max_tokens = 0
var _call
var _step = "quote"
var _answer = PackedByteArray()
var _chunks
var _next_index = 0
var _resumes = 0
var _intent = ""
var _order = {}


## Ask for the price, and go on to make the loop unless it costs more than max_tokens (0: only the price).
func begin(url, key, request, max_tokens):
	_url = url
	_key = key
	_request = request
	_max_tokens = max_tokens
	randomize()
	# However often the order is sent, it makes and charges one loop.
	_intent = "%08x%08x%08x" % [randi(), randi(), randi()]
	_ask("quote", HTTPClient.METHOD_POST, "/v1/quotes", JSON.stringify(request), "")


func cancel():
	if ended:
		return
	if job == "":
		ended = true
		return
	_call.close()
	_ask("cancel", HTTPClient.METHOD_DELETE, "/v1/loops/" + job, "", "")


func poll():
	if ended:
		return []
	var data = _call.poll()
	if _step == "stream" and _call.code == 200:
		return _follow(data)
	_answer.append_array(data)
	if not _call.done:
		return []
	if _call.failed != "" and _step == "stream" and job != "":
		return _resume(_call.failed)
	if _call.failed != "":
		return [_fail("unreachable", "expected a gateway at %s, found: %s" % [_url, _call.failed])]
	var answer = JSON.parse_string(_answer.get_string_from_utf8())
	if typeof(answer) != TYPE_DICTIONARY:
		return [_fail("internal", "the gateway answered %d without JSON" % _call.code)]
	if _call.code != 200:
		return [_fail(answer.get("code", "internal"), answer.get("detail", "the gateway answered %d" % _call.code))]
	if _step == "cancel":
		ended = true
		return [{"name": "ended", "state": answer["state"], "tokens_charged": answer["tokens_charged"]}]
	return _quoted(answer)


func _quoted(answer):
	answer["name"] = "quoted"
	if _max_tokens == 0:
		ended = true
		return [answer]
	if answer["tokens"] > _max_tokens:
		var message = "expected a price of at most %d tokens, found %d" % [_max_tokens, answer["tokens"]]
		return [answer, _fail("over_budget", message)]
	_order = _request.duplicate()
	_order["quote_id"] = answer["quote_id"]
	_stream()
	return [answer]


func _stream():
	_chunks = Chunks.new()
	if job == "":
		_ask("stream", HTTPClient.METHOD_POST, "/v1/loops", JSON.stringify(_order), CHUNKS_TYPE)
		_call.with_header("Idempotency-Key: " + _intent)
	else:
		var path = "/v1/loops/%s/chunks?from=%d" % [job, _next_index]
		_ask("stream", HTTPClient.METHOD_GET, path, "", CHUNKS_TYPE)


func _follow(data):
	var events = []
	for event in _chunks.take(data):
		match event["name"]:
			"started":
				if job == "":
					job = event["job"]
					events.append(event)
			"chunk":
				_next_index = int(event["index"]) + 1
				events.append(event)
			"ended":
				if event["state"] == "queued" or event["state"] == "running":
					return events + _resume("the gateway stopped talking")
				_call.close()
				ended = true
				events.append(event)
				return events
			"broken":
				return events + _resume(event["message"])
	if _call.done:
		return events + _resume("the connection was cut")
	return events


func _resume(why):
	_resumes += 1
	if _resumes > RESUMES_MAX:
		return [_fail("stream_broken", why)]
	_call.close()
	_stream()
	return []


func _ask(step, method, path, body, accept):
	_step = step
	_answer = PackedByteArray()
	_call = Call.new()
	_call.begin(_url, _key, method, path, body, accept)


func _fail(code, message):
	ended = true
	_call.close()
	return {"name": "failed", "code": code, "message": message}
