extends RefCounted
## A loop as the bytes of a WAV file.


static func bytes_of(pcm, sample_rate_hz, channels, bits):
	var file = StreamPeerBuffer.new()
	var frame_bytes = channels * bits / 8
	var padding = pcm.size() % 2
	file.put_data("RIFF".to_ascii_buffer())
	file.put_u32(36 + pcm.size() + padding)
	file.put_data("WAVEfmt ".to_ascii_buffer())
	file.put_u32(16)
	file.put_u16(1)
	file.put_u16(channels)
	file.put_u32(sample_rate_hz)
	file.put_u32(sample_rate_hz * frame_bytes)
	file.put_u16(frame_bytes)
	file.put_u16(bits)
	file.put_data("data".to_ascii_buffer())
	file.put_u32(pcm.size())
	file.put_data(pcm)
	if padding == 1:
		file.put_u8(0)
	return file.data_array
