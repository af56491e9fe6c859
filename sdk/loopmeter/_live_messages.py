"""The messages of a live session, ``WS /v1/live``: JSON text both ways, and chunks as binary messages. No I/O.

The client opens with ``LiveStart`` or ``LiveResume``; the rest of ``ClientMessage`` steers. The gateway answers with
``ServerMessage``. A chunk is one binary message: one record of the chunk protocol (``encode_chunk_event`` writes it,
``decode_chunk_record`` reads it). What each message means, and when it may come, stands in ``docs/live.md``.

Reading order: ``LiveRequest``, ``LiveSettings``, what clients send, what gateways send, ``parse``.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator

from loopmeter._models import Layer, Problem, Quality, Solver, check_key, check_layers

LIVE_PATH = "/v1/live"
LIVE_CREDIT_MAX = 64
Share = Annotated[float, Field(ge=0, le=1)]
SessionKey = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,255}$")]  # as an Idempotency-Key
LiveEndReason = Literal["stopped", "budget", "no_tokens", "lost", "idle", "failed"]

_Model = TypeVar("_Model", bound=BaseModel)


class LivePrompt(BaseModel):
    """One of the prompts that a session is steered between. Weights count relative to each other."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    text: Annotated[str, Field(min_length=1, max_length=1000, pattern=r"\S")]
    weight: Annotated[float, Field(ge=0, le=100)] = 1.0


Prompts = Annotated[tuple[LivePrompt, ...], Field(min_length=1, max_length=8)]


class LiveSettings(BaseModel):
    """What may be steered while a session plays. ``None`` leaves it as it is.

    ``density`` (few or many notes) and ``intensity`` (soft or hard) go from 0 to 1, 0.5 being the genre's habit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    prompts: Prompts | None = None
    tempo_bpm: Annotated[float, Field(ge=40, le=240)] | None = None
    density: Share | None = None
    intensity: Share | None = None
    layers: Annotated[tuple[Layer, ...], Field(min_length=1)] | None = None

    @field_validator("prompts")
    @classmethod
    def _some_prompt_counts(cls, value: tuple[LivePrompt, ...] | None) -> tuple[LivePrompt, ...] | None:
        if value is not None and not any(prompt.weight for prompt in value):
            raise ValueError("expected a weight above 0, found none")
        return value

    @field_validator("layers")
    @classmethod
    def _layers_are_distinct(cls, value: tuple[Layer, ...] | None) -> tuple[Layer, ...] | None:
        return check_layers(value)


class LiveRequest(LiveSettings):
    """An endless piece, as asked for: what can be steered, and what is fixed from its start.

    ``None`` means: taken from the prompts' words, else from the genre's habit.
    """

    prompts: Prompts
    beats_per_bar: Annotated[int, Field(ge=2, le=6)] = 4
    key: str | None = None
    quality: Quality = "standard"
    seed: Annotated[int, Field(ge=0, lt=2**53)] = 0
    model: str = "loopmeter"
    solver: Solver | None = None
    steps: Annotated[int, Field(ge=1, le=100)] | None = None
    guidance: Annotated[float, Field(ge=0, le=10)] | None = None

    @field_validator("key")
    @classmethod
    def _key_is_spelled_right(cls, value: str | None) -> str | None:
        return check_key(value)

    def with_settings(self, settings: LiveSettings) -> LiveRequest:
        """This request with what ``settings`` changes."""
        changed = {name: getattr(settings, name) for name in LiveSettings.model_fields}
        return self.model_copy(update={name: value for name, value in changed.items() if value is not None})


# What clients send. Unknown fields are errors.


class LiveStart(LiveRequest):
    """Begin a session. ``session`` names the intent, as an ``Idempotency-Key`` does: it starts at most one session.

    ``max_tokens`` ends the session before it costs more. ``credit`` chunks may be sent before the client asks again.
    """

    type: Literal["start"] = "start"
    session: SessionKey
    max_tokens: Annotated[int, Field(ge=1, lt=2**53)] | None = None
    credit: Annotated[int, Field(ge=0, le=LIVE_CREDIT_MAX)] = 4

    def request(self) -> LiveRequest:
        """What is to be played, without the terms."""
        return LiveRequest.model_validate({name: getattr(self, name) for name in LiveRequest.model_fields})


class _Command(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class LiveResume(_Command):
    """Take a session up again from ``from_chunk``, after a connection broke. Free where chunks are charged already."""

    type: Literal["resume"] = "resume"
    session: SessionKey
    from_chunk: Annotated[int, Field(ge=0, lt=2**31)]
    credit: Annotated[int, Field(ge=0, le=LIVE_CREDIT_MAX)] = 4


class LiveSet(LiveSettings):
    """Steer. ``ref`` is the caller's own; ``LiveApplied`` gives it back. A ``ref`` that was taken before is ignored."""

    type: Literal["set"] = "set"
    ref: Annotated[str, Field(min_length=1, max_length=64)]

    def settings(self) -> LiveSettings:
        """What is to change, without the reference."""
        return LiveSettings.model_validate({name: getattr(self, name) for name in LiveSettings.model_fields})


class LivePause(_Command):
    """Make, send and charge nothing until ``LivePlay``."""

    type: Literal["pause"] = "pause"


class LivePlay(_Command):
    """Go on after ``LivePause``."""

    type: Literal["play"] = "play"


class LiveStop(_Command):
    """End the session. Chunks that were sent stay charged, nothing else is."""

    type: Literal["stop"] = "stop"


class LiveCredit(_Command):
    """Ready for ``chunks`` more chunks. The gateway never sends more than it has credit for."""

    type: Literal["credit"] = "credit"
    chunks: Annotated[int, Field(ge=1, le=LIVE_CREDIT_MAX)]


class LivePing(_Command):
    """Ask for a ``LiveHeartbeat``."""

    type: Literal["ping"] = "ping"


ClientMessage = LiveStart | LiveResume | LiveSet | LivePause | LivePlay | LiveStop | LiveCredit | LivePing


# What gateways send. Unknown fields are ignored, so that an older client understands a newer gateway.


class _Event(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


class ResolvedLive(LiveRequest):
    """A live request as the engine took it, with nothing left open. Unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


class LiveStarted(_Event):
    """The first message of each connection. Chunks are ``chunk_frames`` frames each, and come from ``from_chunk`` on.

    PCM is interleaved little-endian, ``channels`` x ``bits`` per frame. ``applied`` lists the references of settings
    that are known already: those that are missing after a break must be sent again.
    """

    type: Literal["started"] = "started"
    job: str
    session: str
    request: ResolvedLive
    sample_rate_hz: int = Field(ge=1)
    channels: int = Field(ge=1)
    bits: int = Field(multiple_of=8, ge=8, le=32)
    chunk_frames: int = Field(ge=1)
    from_chunk: int = Field(default=0, ge=0)
    known_refs: tuple[str, ...] = ()
    paused: bool = False
    tokens_charged: int = 0
    tokens_per_minute: int = 0  # from the second minute on
    max_tokens: int | None = None
    heartbeat_s: float = 10.0
    resume_s: float = 30.0


class LiveApplied(_Event):
    """The settings of ``ref`` hold from here: bar ``bar``, which begins ``frame`` frames after the session's start.

    Comes just before chunk ``chunk``, which holds that frame. Bars count from 0.
    """

    type: Literal["applied"] = "applied"
    ref: str
    chunk: int
    frame: int
    bar: int


class LiveWarning(_Event):
    """The money is nearly spent. Unless more is granted, the session ends in about ``seconds_left``."""

    type: Literal["warning"] = "warning"
    reason: Literal["budget", "no_tokens"]
    tokens_charged: int
    tokens_left: int
    seconds_left: float


class LivePaused(_Event):
    """Nothing is made or charged. ``chunk`` comes next, after ``LivePlay``."""

    type: Literal["paused"] = "paused"
    chunk: int


class LiveResumed(_Event):
    """The session goes on with ``chunk``."""

    type: Literal["resumed"] = "resumed"
    chunk: int


class LiveHeartbeat(_Event):
    """The connection is alive. Sent when nothing else was for ``heartbeat_s``, and in answer to ``LivePing``."""

    type: Literal["heartbeat"] = "heartbeat"
    tokens_charged: int = 0


class LiveEnded(_Event):
    """The last message of a session: ``chunks`` chunks for ``tokens_charged`` tokens. They can be fetched again, free.

    ``stopped`` by the client; ``budget``: ``max_tokens`` would be passed; ``no_tokens``: the balance is empty;
    ``lost``: nobody came back within ``resume_s``; ``idle``: paused for too long; ``failed``: ``problem`` says why.
    """

    type: Literal["ended"] = "ended"
    reason: LiveEndReason
    chunks: int
    tokens_charged: int
    problem: Problem | None = None


class LiveError(_Event):
    """A message was refused and changed nothing; ``ref`` is that of a refused ``LiveSet``. The session goes on.

    After a refused ``LiveStart`` or ``LiveResume`` the gateway closes, with code 4000 + the problem's status. With 429
    and 503 ``retry_after_s`` says when to ask again.
    """

    type: Literal["error"] = "error"
    problem: Problem
    ref: str | None = None
    retry_after_s: int | None = None


ServerMessage = (
    LiveStarted | LiveApplied | LiveWarning | LivePaused | LiveResumed | LiveHeartbeat | LiveEnded | LiveError
)

_CLIENT: TypeAdapter[ClientMessage] = TypeAdapter(
    Annotated[ClientMessage, Field(discriminator="type")], config=ConfigDict(defer_build=True)
)
_SERVER: TypeAdapter[ServerMessage] = TypeAdapter(
    Annotated[ServerMessage, Field(discriminator="type")], config=ConfigDict(defer_build=True)
)


def encode_live(message: ClientMessage | ServerMessage) -> str:
    """The text message of one event."""
    return message.model_dump_json(exclude_none=True)


def parse_client_message(text: str) -> ClientMessage:
    """What a client sent. Raises ``pydantic.ValidationError``."""
    return _CLIENT.validate_json(text)


def parse_server_message(text: str) -> ServerMessage:
    """What a gateway sent. Raises ``pydantic.ValidationError``, also for types that this version does not know."""
    return _SERVER.validate_json(text)
