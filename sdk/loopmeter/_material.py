"""Sound and notes that a request brings along: a loop to go on from, to change or to play to, a timbre, a MIDI file.

Each is given as a path, as bytes, or as a finished loop, and checked here, before anything is sent. What is too large
is packed by soundfile, if that is installed: without loss if it then fits, else as Ogg Vorbis.

Reading order: ``continue_loop`` and its siblings, which make requests; ``sound_base64``; ``midi_base64``.
"""

from __future__ import annotations

import base64
import io
import logging
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from loopmeter._core import LoopOptions, loop_request
from loopmeter._exceptions import InvalidRequest
from loopmeter._loop import FinishedLoop
from loopmeter._models import FieldProblem, LoopRequest, Problem, ProblemCode, Task

if TYPE_CHECKING:
    import soundfile

Sound = str | os.PathLike[str] | bytes | FinishedLoop
Notes = str | os.PathLike[str] | bytes

SOUND_BASE64_MAX = 6_000_000
MIDI_BASE64_MAX = 400_000
_FORMATS = {b"RIFF": "WAV", b"fLaC": "FLAC", b"OggS": "Ogg"}
_READ_BYTES_MAX = 256 * 2**20
_BLOCK_FRAMES = 65_536
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_LOG = logging.getLogger("loopmeter")


def continue_loop(source: Sound, prompt: str | None = None, **options: Unpack[LoopOptions]) -> LoopRequest:
    """A request for what comes after ``source``: as many bars as ``bars`` says, in its time and key.

        loop = client.loops.create("dusty lo-fi drums", tempo_bpm=92, bars=4)
        more = client.loops.create(continue_loop(loop, bars=4))

    ``source`` is the path of a WAV, FLAC or Ogg file, its bytes, or a finished loop. A finished loop also says prompt,
    tempo, meter, bars, key, quality and model, as far as they are not given here; beside a file give at least the
    prompt and the tempo.

    Raises:
        InvalidRequest: the file cannot be read or sent, or a field is wrong; found before anything is sent.
    """
    return _request("continue", source, prompt, options)


def repaint_loop(
    source: Sound,
    prompt: str | None = None,
    *,
    from_beat: float,
    to_beat: float,
    **options: Unpack[LoopOptions],
) -> LoopRequest:
    """A request for ``source`` with the beats from ``from_beat`` up to ``to_beat`` made anew; the first beat is 0.

    Arguments and errors as ``continue_loop``.
    """
    return _request("repaint", source, prompt, options, repaint_from_beat=from_beat, repaint_to_beat=to_beat)


def vary_loop(
    source: Sound, prompt: str | None = None, *, strength: float | None = None, **options: Unpack[LoopOptions]
) -> LoopRequest:
    """A request for another loop like ``source``. ``strength`` says how closely it follows: 1 keeps the source.

    It is the field ``cover_strength``. Other arguments and errors as ``continue_loop``.
    """
    return _request("cover", source, prompt, options, cover_strength=strength)


def accompany_loop(source: Sound, prompt: str | None = None, **options: Unpack[LoopOptions]) -> LoopRequest:
    """A request for a part to play along with ``source``, without the source in it.

    ``layers`` (or ``track``, for engines that take it) say which part. Other arguments and errors as ``continue_loop``.
    """
    return _request("lego", source, prompt, options)


def sound_base64(source: Sound, field: str = "source_audio_base64") -> str:
    """A sound as ``source_audio_base64`` and ``reference_audio_base64`` take it; ``field`` is named in errors.

    Raises:
        InvalidRequest: it cannot be read, is not WAV, FLAC or Ogg, or is too large and cannot be packed.
    """
    data = source.wav if isinstance(source, FinishedLoop) else _read(source, field)
    known = data[:4] in _FORMATS and (data[:4] != b"RIFF" or data[8:12] == b"WAVE")
    if known and _fits(data):
        return base64.b64encode(data).decode()
    packed = _packed(data, field, known)
    return base64.b64encode(packed).decode()


def midi_base64(notes: Notes) -> str:
    """A Standard MIDI File as ``midi_base64`` takes it.

    Raises:
        InvalidRequest: it cannot be read, is no MIDI file, or is too large.
    """
    data = _read(notes, "midi_base64")
    if data[:4] != b"MThd":
        raise _wrong("midi_base64", "a Standard MIDI File", _shown(data))
    if len(data) > MIDI_BASE64_MAX // 4 * 3:
        raise _wrong("midi_base64", f"at most {MIDI_BASE64_MAX // 4 * 3} bytes", f"{len(data)} bytes")
    return base64.b64encode(data).decode()


def music_of(request: LoopRequest) -> dict[str, Any]:
    """What a loop that belongs to another shares with it: the fields that are known of tempo, form, key and sound."""
    names = {"tempo_bpm", "bars", "beats_per_bar", "key", "quality", "model"}
    return request.model_dump(include=names, exclude_none=True)


def _request(
    task: Task, source: Sound, prompt: str | None, options: LoopOptions, **fields: float | None
) -> LoopRequest:
    like: dict[str, Any] = {}
    if isinstance(source, FinishedLoop):
        like = {"prompt": source.job.request.prompt, **music_of(source.job.request)}
    asked: dict[str, Any] = {**like, **options, **fields}
    if prompt is not None:
        asked["prompt"] = prompt
    if "prompt" not in asked:
        raise _wrong("prompt", "words for the loop beside a file", "nothing")
    return loop_request(asked.pop("prompt"), {**asked, "source_audio_base64": sound_base64(source), "task": task})


def _read(source: Sound | Notes, field: str) -> bytes:
    if isinstance(source, bytes):
        return source
    assert not isinstance(source, FinishedLoop)
    try:
        with Path(source).open("rb") as file:
            data = file.read(_READ_BYTES_MAX + 1)
    except OSError as error:
        raise _wrong(field, "a file that can be read", f"{str(source)!r}: {error.strerror or error}") from error
    if len(data) > _READ_BYTES_MAX:
        raise _wrong(field, f"a file of at most {_READ_BYTES_MAX} bytes", f"{str(source)!r}, which is larger")
    return data


def _fits(data: bytes) -> bool:
    return 4 * -(-len(data) // 3) <= SOUND_BASE64_MAX


def _packed(data: bytes, field: str, known: bool) -> bytes:
    """The same sound in fewer bytes, or in a format that can be sent."""
    bytes_max = SOUND_BASE64_MAX // 4 * 3
    expected = f"at most {bytes_max} bytes" if known else "a WAV, FLAC or Ogg file"
    found = f"{len(data)} bytes of {_FORMATS[data[:4]]}" if known else _shown(data)
    try:
        import soundfile  # Loaded late: few clients send sound, and most of it fits.
    except ModuleNotFoundError as error:
        cure = "save it as FLAC or Ogg, or have that done here: pip install soundfile"
        raise _wrong(field, expected, f"{found}; {cure}") from error
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as reader:
            flac = _written(reader, "FLAC", "PCM_16" if reader.subtype in ("PCM_16", "PCM_U8", "PCM_S8") else "PCM_24")
            if _fits(flac):
                return flac
            ogg = _without_chance(_written(reader, "OGG", "VORBIS"))
            seconds = reader.frames / reader.samplerate
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise _wrong(field, "a WAV, FLAC or Ogg file", f"{_shown(data)} ({error})") from error
    if not _fits(ogg):
        raise _wrong(field, expected, f"{seconds:.1f} s of sound, {len(ogg)} bytes even as Ogg; cut it shorter")
    _LOG.info("%s: %d bytes are sent as %d bytes of Ogg Vorbis, with loss", field, len(data), len(ogg))
    return ogg


def _written(reader: soundfile.SoundFile, form: Literal["FLAC", "OGG"], subtype: str) -> bytes:
    out = io.BytesIO()
    reader.seek(0)
    with type(reader)(out, "w", reader.samplerate, reader.channels, subtype, format=form) as writer:
        # In blocks: libsndfile's Vorbis encoder keeps a whole write on its stack.
        for block in reader.blocks(_BLOCK_FRAMES, dtype="int32", always_2d=True):
            writer.write(block)
    return out.getvalue()


def _without_chance(ogg: bytes) -> bytes:
    """The same Ogg stream under serial number 0 (RFC 3533 section 6) in place of libsndfile's random one.

    A request is known by its bytes: the same sound must not be another request each time that it is packed.
    """
    pages, start = bytearray(ogg), 0
    while start < len(pages):
        segments = pages[start + 26]
        body = start + 27 + segments
        end = body + sum(pages[start + 27 : body])
        pages[start + 14 : start + 18] = bytes(4)  # the serial number
        pages[start + 22 : start + 26] = bytes(4)  # the checksum, which counts as zero in itself
        # Ogg's CRC-32 takes the bits of a byte from the other side than zlib's, and inverts neither start nor result.
        mirrored = zlib.crc32(pages[start:end].translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
        pages[start + 22 : start + 26] = mirrored.to_bytes(4, "big").translate(_MIRRORED)
        start = end
    return bytes(pages)


def _shown(data: bytes) -> str:
    return f"{len(data)} bytes that begin with {data[:8]!r}" if data else "an empty file"


def _wrong(field: str, expected: str, found: str) -> InvalidRequest:
    return InvalidRequest(
        Problem(
            title="Invalid request",
            status=422,
            code=ProblemCode.INVALID_REQUEST.value,
            detail="1 field is wrong",
            errors=(FieldProblem(field=field, expected=expected, found=found),),
        )
    )
