"""The wire types that client, gateway and engine share. Nothing here does I/O.

Read ``LoopRequest`` first: it is the one description of a loop, from the SDK call over the price to the engine.
Then ``Quote``, ``Job``, ``ChunkMeter``, ``Problem``. What a client sends forbids unknown fields, what a gateway
answers ignores them.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

Quality = Literal["standard", "hifi"]
Layer = Literal["drums", "bass", "chords", "lead", "pad", "fx"]
Solver = Literal["euler", "heun", "ab2"]
Task = Literal["text2music", "cover", "repaint", "extract", "lego", "complete", "continue"]
Track = Literal[
    "vocals",
    "backing_vocals",
    "drums",
    "bass",
    "guitar",
    "keyboard",
    "percussion",
    "strings",
    "synth",
    "fx",
    "brass",
    "woodwinds",
]
JobState = Literal["queued", "running", "completed", "cancelled", "failed"]
ENDED_STATES: frozenset[JobState] = frozenset({"completed", "cancelled", "failed"})
LAYERS: tuple[Layer, ...] = ("drums", "bass", "chords", "lead", "pad", "fx")

_KEY = re.compile(r"^([A-Ga-g])([#b♯♭]?)\s*(m|min|minor|maj|major)?$")


def check_key(value: str | None) -> str | None:
    """A key without the spaces around it. Raises ``ValueError``: not the name of a key."""
    if value is not None and _KEY.match(value.strip()) is None:
        raise ValueError(f"expected a key such as 'Am', 'F#' or 'Eb minor', found {value!r}")
    return None if value is None else value.strip()


def check_layers(value: tuple[Layer, ...] | None) -> tuple[Layer, ...] | None:
    """The layers as they are. Raises ``ValueError``: one of them comes twice."""
    if value is not None and len(set(value)) != len(value):
        raise ValueError(f"expected each layer once, found {list(value)}")
    return value


class Section(BaseModel):
    """A part of a whole piece. ``energy`` 0..1 says how much of the music sounds; ``None`` goes by the name."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    name: Annotated[str, Field(min_length=1, max_length=40, pattern=r"\S")]
    bars: Annotated[int, Field(ge=1, le=256)]
    energy: Annotated[float, Field(ge=0, le=1)] | None = None


class LoopRequest(BaseModel):
    """One loop, as asked for. ``None`` means: taken from the prompt's words, else from the genre's habit.

    ``chords`` is one name a bar (``"Am F C G"``), or bars with several (``"Am F | C G"``), going round. ``swing`` 1 is
    a full triplet. ``density`` (few or many notes) and ``intensity`` (soft or hard) go from 0 to 1, 0.5 being the
    genre's habit of intensity. ``sections`` make a whole piece; their bars add up to its length. ``stems`` makes the
    loop as the sum of its layers: the same request with one of its ``layers`` is then that stem, to the sample.

    The length is exact: ``round(bars * beats_per_bar * 60 / tempo_bpm * sample_rate_hz)`` frames.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    prompt: Annotated[str, Field(min_length=1, max_length=1000, pattern=r"\S")]
    tempo_bpm: Annotated[float, Field(ge=40, le=240)] | None = None
    bars: Annotated[int, Field(ge=1, le=256)] | None = None
    beats_per_bar: Annotated[int, Field(ge=2, le=6)] = 4
    key: str | None = None
    quality: Quality = "standard"
    seed: Annotated[int, Field(ge=0, lt=2**53)] = 0
    model: str = "loopmeter"
    layers: Annotated[tuple[Layer, ...], Field(min_length=1)] | None = None
    solver: Solver | None = None
    steps: Annotated[int, Field(ge=1, le=100)] | None = None
    guidance: Annotated[float, Field(ge=0, le=10)] | None = None
    midi_base64: Annotated[str, Field(max_length=400_000)] | None = None
    chords: Annotated[str, Field(max_length=2000, pattern=r"\S")] | None = None
    swing: Annotated[float, Field(ge=0, le=1)] | None = None
    density: Annotated[float, Field(ge=0, le=1)] | None = None
    intensity: Annotated[float, Field(ge=0, le=1)] | None = None
    sections: Annotated[tuple[Section, ...], Field(min_length=1, max_length=32)] | None = None
    stems: bool | None = None

    @model_validator(mode="after")
    def _sections_fill_the_bars(self) -> Self:
        if self.sections is not None and self.bars is not None:
            total = sum(section.bars for section in self.sections)
            if total != self.bars:
                raise ValueError(f"expected sections of {self.bars} bars in all, found {total}; leave bars out")
        return self

    # What only some engines can do. An engine without the capability refuses the field by name.
    task: Task | None = None  # None: text2music. lego: a part to play along with the source, without the source.
    negative_prompt: Annotated[str, Field(min_length=1, max_length=1000, pattern=r"\S")] | None = None
    lyrics: Annotated[str, Field(min_length=1, max_length=4000)] | None = None
    language: Annotated[str, Field(pattern="^[a-z]{2,3}$")] | None = None  # of the lyrics, as ISO 639 says it
    source_audio_base64: Annotated[str, Field(max_length=6_000_000)] | None = None  # a WAV, FLAC or Ogg file
    reference_audio_base64: Annotated[str, Field(max_length=6_000_000)] | None = None  # the same, for its timbre alone
    cover_strength: Annotated[float, Field(ge=0, le=1)] | None = None  # how closely it follows the source: 1 keeps it
    repaint_from_beat: Annotated[float, Field(ge=0)] | None = None
    repaint_to_beat: Annotated[float, Field(gt=0)] | None = None
    track: Track | None = None  # of extract and lego
    tracks: Annotated[tuple[Track, ...], Field(min_length=1)] | None = None  # of complete
    lora: Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")] | None = None
    shift: Annotated[float, Field(ge=1, le=5)] | None = None  # of the noise schedule
    conform: bool | None = None  # Measure the beats of what came out, and place them on the asked grid.

    @field_validator("key")
    @classmethod
    def _key_is_spelled_right(cls, value: str | None) -> str | None:
        return check_key(value)

    @field_validator("layers")
    @classmethod
    def _layers_are_distinct(cls, value: tuple[Layer, ...] | None) -> tuple[Layer, ...] | None:
        return check_layers(value)


class LoopOrder(LoopRequest):
    """The body of ``POST /v1/loops``: a request, and the quote whose price it takes.

    A quote may be used for the request that it was made for, and for no other.
    """

    quote_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class _Answer(BaseModel):
    """What the gateway answers. Unknown fields are ignored, so that an older client reads a newer gateway."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


class ResolvedRequest(LoopRequest):
    """A request as the engine took it, with nothing left open. Unknown fields are ignored, as in every answer."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


class QuoteLine(_Answer):
    """One line of a price: what is paid for, and its tokens (a discount is negative)."""

    text: str
    tokens: int


class Quote(_Answer):
    """The exact price of a request, before anything is held. A completed job is charged exactly ``tokens``."""

    quote_id: str
    tokens: int
    frames: int
    chunks: int
    sample_rate_hz: int
    expires_at: AwareDatetime
    lines: tuple[QuoteLine, ...] = ()
    channels: int | None = None
    bits: int | None = None
    price_book: str | None = None
    request: ResolvedRequest | None = None
    first_sound_s: float | None = None  # predicted, once the job's turn has come; absent before the engine has run
    rate: float | None = None  # predicted: seconds of sound that come per second, behind the first chunk


class FieldProblem(_Answer):
    """One field that is wrong: its name, what was expected, and what came."""

    field: str
    expected: str
    found: str = ""


class ProblemCode(StrEnum):
    """The stable codes that clients act on. A gateway may send others: treat those by their status."""

    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    INSUFFICIENT_TOKENS = "insufficient_tokens"
    INVALID_REQUEST = "invalid_request"
    NOT_FOUND = "not_found"
    QUOTE_UNKNOWN = "quote_unknown"
    QUOTE_EXPIRED = "quote_expired"
    QUOTE_MISMATCH = "quote_mismatch"
    REQUEST_IN_PROGRESS = "request_in_progress"  # 409: the first request with this idempotency key still runs; retry.
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    RATE_LIMITED = "rate_limited"
    ENGINE_FAILED = "engine_failed"
    INTERNAL = "internal"


class Problem(_Answer):
    """An error as RFC 9457 describes it, with a stable ``code`` and, for bad input, the fields that are wrong.

    ``over_max_tokens`` says the price, ``tokens``, and the cap that it is above.
    """

    type: str = "about:blank"
    title: str = ""
    status: int
    detail: str = ""
    code: str = ProblemCode.INTERNAL.value
    instance: str | None = None
    errors: tuple[FieldProblem, ...] = ()
    request_id: str | None = None
    tokens: int | None = None
    max_tokens: int | None = None


class Job(_Answer):
    """A loop in the making, or made. ``chunks_delivered`` counts chunks that are charged and can be fetched free.

    PCM is interleaved little-endian, ``channels`` x ``bits`` per frame. ``score`` is the planner's summary.
    """

    id: str
    state: JobState
    frames: int
    chunks: int
    chunks_delivered: int
    sample_rate_hz: int
    channels: int
    bits: int
    tokens_quoted: int
    tokens_charged: int
    request: ResolvedRequest
    created_at: AwareDatetime
    quote_id: str | None = None
    finished_at: AwareDatetime | None = None
    error: Problem | None = None
    score: dict[str, object] | None = None
    queue_position: int | None = None  # 1 is next; before the first chunk only
    expected_start_at: AwareDatetime | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will be made or charged."""
        return self.state in ENDED_STATES


class ChunkMeter(_Answer):
    """What one chunk took and what it cost. Counted once, when the chunk is made; a re-read counts nothing."""

    index: int
    frames: int
    tokens: int
    tokens_total: int  # charged for this job up to and including this chunk
    flops: int = 0
    device_seconds: float = 0.0
    peak_memory_bytes: int = 0


class Balance(_Answer):
    """Tokens of a customer: ``available = posted - held``, never negative."""

    available: int
    held: int
    posted: int


class UsageEntry(_Answer):
    """One job on the bill, with what it took to make."""

    job: str
    state: JobState
    tokens_quoted: int
    tokens_charged: int
    chunks_delivered: int
    created_at: AwareDatetime
    prompt: str = ""
    model: str = ""
    quality: str = ""
    frames_delivered: int = 0
    flops: int = 0
    device_seconds: float = 0.0
    peak_memory_bytes: int = 0


class UsagePage(_Answer):
    """Jobs, newest first. ``next`` is the cursor of the page after this one, ``None`` on the last."""

    entries: tuple[UsageEntry, ...] = ()
    next: str | None = None
    tokens_charged: int = 0  # over all jobs of the customer, not just this page


class ModelInfo(_Answer):
    """One model that this key may use."""

    name: str
    version: str = ""
    fingerprint: str = ""
    sample_rate_hz: int
    duration_s_max: float
    capabilities: tuple[str, ...] = ()
    licence: str = ""
    output_rights: str = ""  # in words: whose the sound is and what may be done with it
    price_book: str = ""  # by which this key pays for it
    plans: tuple[str, ...] = ()  # those that include it
    included: bool = True  # in the plan of this key


class ModelPage(_Answer):
    """The answer of ``GET /v1/models``."""

    models: tuple[ModelInfo, ...] = ()


class ClientTokenRequest(BaseModel):
    """The body of ``POST /v1/client-tokens``: how long the token lives and what it may spend."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    tokens_max: Annotated[int, Field(ge=1, le=1_000_000_000)]
    expires_in_s: Annotated[int, Field(ge=10, le=86_400)] = 3600


class ClientToken(_Answer):
    """A key for the hands of players: short-lived, for making loops alone, with a small budget of its own.

    ``token`` is used like an API key and shown this once. What it spends counts for the key that made it, too.
    """

    token: str
    token_id: str
    expires_at: AwareDatetime
    tokens_max: int


class PeakWindow(_Answer):
    """Hours of the day at which the price is higher: local times ``HH:MM`` in the price book's time zone."""

    start: str
    end: str
    percent: int


class PlanInfo(_Answer):
    """What a plan grants. ``discount_percent`` comes off the price; a higher ``priority`` is served sooner.

    ``monthly_tokens`` are granted at the start of each calendar month (UTC); of those that are left at its end, up to
    ``rollover_tokens_max`` are kept. In the limits 0 means none, and without ``models`` all are included.
    """

    name: str
    monthly_tokens: int = 0
    rollover_tokens_max: int = 0
    discount_percent: int = 0
    priority: int = 0
    requests_per_minute: int = 0
    live_streams_max: int = 0
    duration_s_max: int = 300
    models: tuple[str, ...] = ()


class PriceBook(_Answer):
    """The prices in force. Immutable once used: a change makes a new ``version``.

    Length above ``included_s`` is counted in started steps of ``step_ms``. The work is what the plan of the request
    says: floating-point operations (in 10 ** 12), and peak memory (in GiB) for as long as the loop sounds.
    """

    name: str
    version: str
    included_s: int
    base_tokens: int
    extra_tokens_per_s: int
    hifi_percent: int
    description: str = ""
    step_ms: int = 1000
    millitokens_per_tflop: int = 0
    millitokens_per_gib_s: int = 0
    time_zone: str = "UTC"
    peaks: tuple[PeakWindow, ...] = ()
    plans: tuple[PlanInfo, ...] = ()
