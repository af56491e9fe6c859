extends RefCounted
## One HTTP request, moved on by poll(). It never blocks: poll it every frame.

var code = 0
var failed = ""
var done = false

var _http = HTTPClient.new()
var _method = 0
var _path = ""
var _headers = []
var _body = ""
var _sent = false


func begin(url, key, method, path, body, accept):
	_method = method
	_path = path
	_body = body
	_headers = ["Authorization: Bearer " + key]
	if body != "":
		_headers.append("Content-Type: application/json")
	if accept != "":
		_headers.append("Accept: " + accept)
	var tls = url.begins_with("https://")
	var place = url.split("://")[-1].split("/")[0].split(":")
	var port = int(place[1]) if place.size() > 1 else (443 if tls else 80)
	if _http.connect_to_host(place[0], port, TLSOptions.client() if tls else null) != OK:
		_fail("no connection to " + url)


func with_header(header):
	_headers.append(header)


## The bytes of the answer that came since the last poll. When done is true, no more will; failed tells why.
func poll():
	if done:
		return PackedByteArray()
	_http.poll()
	match _http.get_status():
		HTTPClient.STATUS_CONNECTED:
			if not _sent:
				_sent = true
				_http.request(_method, _path, _headers, _body)
			else:
				code = _http.get_response_code()
				done = true  # An answer without a body, or one that is read.
		HTTPClient.STATUS_BODY:
			code = _http.get_response_code()
			return _http.read_response_body_chunk()
		HTTPClient.STATUS_RESOLVING, HTTPClient.STATUS_CONNECTING, HTTPClient.STATUS_REQUESTING:
			pass
		_:
			# A server that closes the connection ends an answer without a length that way.
			if code == 0 or code >= 300 or _http.get_status() != HTTPClient.STATUS_DISCONNECTED:
				_fail("the gateway does not answer, or stopped answering")
			done = true
	return PackedByteArray()


func close():
	done = true
	_http.close()


func _fail(message):
	done = true
	failed = message
