"""Requests and answers of the gateway as values, and the seam behind which sockets and clocks live. No I/O.

Reading order: ``HttpRequest`` and ``HttpResponse``; one function per address; ``error_of``, which turns an answer into
an exception; the protocols ``Transport`` and ``Clock`` with their async twins, implemented in ``_transport.py``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypedDict, TypeVar
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ValidationError

from loopmeter._chunks import CHUNKS_MEDIA_TYPE
from loopmeter._exceptions import AnswerUnreadable, APIError, InvalidRequest, api_error_type
from loopmeter._models import (
    ClientTokenRequest,
    FieldProblem,
    Layer,
    LoopOrder,
    LoopRequest,
    Problem,
    ProblemCode,
    Quality,
    Section,
    Solver,
    Task,
    Track,
)
from loopmeter._quota import quotas_of
from loopmeter._settings import Timeout

AudioFormat = Literal["wav", "flac", "ogg"]
_AUDIO_TYPES: Mapping[AudioFormat, str] = {"wav": "audio/wav", "flac": "audio/flac", "ogg": "audio/ogg"}
_JSON = "application/json"

_Model = TypeVar("_Model", bound=BaseModel)


class LoopOptions(TypedDict, total=False):
    """The fields of ``LoopRequest`` but ``prompt``, as keyword arguments."""

    tempo_bpm: float | None
    bars: int | None
    beats_per_bar: int
    key: str | None
    quality: Quality
    seed: int
    model: str
    layers: Sequence[Layer] | None
    solver: Solver | None
    steps: int | None
    guidance: float | None
    midi_base64: str | None
    chords: str | None
    swing: float | None
    density: float | None
    intensity: float | None
    sections: Sequence[Section] | None
    stems: bool | None
    task: Task | None
    negative_prompt: str | None
    lyrics: str | None
    language: str | None
    source_audio_base64: str | None
    reference_audio_base64: str | None
    cover_strength: float | None
    repaint_from_beat: float | None
    repaint_to_beat: float | None
    track: Track | None
    tracks: Sequence[Track] | None
    lora: str | None
    shift: float | None
    conform: bool | None


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request. ``path`` is relative to the gateway's address; ``body`` is JSON or empty.

    ``timeout`` replaces the transport's own limits.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    timeout: Timeout | None = None

    @property
    def idempotency_key(self) -> str | None:
        return self.headers.get("Idempotency-Key")


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One answer, read to its end. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def loop_request(prompt: str | LoopRequest, options: Mapping[str, Any]) -> LoopRequest:
    """A valid request from a prompt and keyword arguments, or a request with some fields replaced.

    Raises:
        InvalidRequest: a field is wrong; found here, before anything is sent.
    """
    fields = prompt.model_dump() if isinstance(prompt, LoopRequest) else {"prompt": prompt}
    try:
        return LoopRequest.model_validate({**fields, **options})
    except ValidationError as error:
        raise InvalidRequest(problem_of_validation(error)) from error


def new_idempotency_key() -> str:
    """A key for one intent. Make it once, outside of every retry."""
    return f"sdk-{os.urandom(16).hex()}"


def post_quote(request: LoopRequest) -> HttpRequest:
    return HttpRequest("POST", "/v1/quotes", {"Accept": _JSON, "Content-Type": _JSON}, _json(request))


def post_loop(
    request: LoopRequest, quote_id: str | None, idempotency_key: str, max_tokens: int | None = None
) -> HttpRequest:
    """Make a loop and stream its chunks. Sent again with the same key, it makes nothing new.

    A gateway that ``takes_caps`` refuses it if it costs more than ``max_tokens``.
    """
    order = request if quote_id is None else LoopOrder(**request.model_dump(), quote_id=quote_id)
    headers = {"Accept": CHUNKS_MEDIA_TYPE, "Content-Type": _JSON, "Idempotency-Key": idempotency_key}
    if max_tokens is not None:
        headers["Loopmeter-Max-Tokens"] = str(max_tokens)
    return HttpRequest("POST", "/v1/loops", headers, _json(order))


def get_chunks(job_id: str, from_index: int) -> HttpRequest:
    """The chunks of a job from ``from_index`` on; free where they are charged already."""
    return HttpRequest("GET", f"{_loop(job_id)}/chunks?from={from_index}", {"Accept": CHUNKS_MEDIA_TYPE})


def get_loop(job_id: str) -> HttpRequest:
    return HttpRequest("GET", _loop(job_id), {"Accept": _JSON})


def delete_loop(job_id: str) -> HttpRequest:
    return HttpRequest("DELETE", _loop(job_id), {"Accept": _JSON})


def get_audio(job_id: str, audio_format: AudioFormat) -> HttpRequest:
    path = f"{_loop(job_id)}/audio?{urlencode({'format': audio_format})}"
    return HttpRequest("GET", path, {"Accept": _AUDIO_TYPES[audio_format]})


def get_midi(job_id: str) -> HttpRequest:
    return HttpRequest("GET", f"{_loop(job_id)}/midi", {"Accept": "audio/midi"})


def get_usage(limit: int, cursor: str | None) -> HttpRequest:
    query = {"limit": str(limit)} | ({"cursor": cursor} if cursor is not None else {})
    return HttpRequest("GET", f"/v1/usage?{urlencode(query)}", {"Accept": _JSON})


def get_json(path: Literal["/v1/balance", "/v1/models", "/v1/price-book"]) -> HttpRequest:
    return HttpRequest("GET", path, {"Accept": _JSON})


def post_client_token(tokens_max: int, expires_in_s: int) -> HttpRequest:
    """Raises ``InvalidRequest``: a limit is out of range; found here, before anything is sent."""
    try:
        order = ClientTokenRequest(tokens_max=tokens_max, expires_in_s=expires_in_s)
    except ValidationError as error:
        raise InvalidRequest(problem_of_validation(error)) from error
    return HttpRequest("POST", "/v1/client-tokens", {"Accept": _JSON, "Content-Type": _JSON}, _json(order))


def _loop(job_id: str) -> str:
    return f"/v1/loops/{quote(job_id, safe='')}"


def _json(model: BaseModel) -> bytes:
    return model.model_dump_json(exclude_none=True).encode()


def parse(model: type[_Model], response: HttpResponse) -> _Model:
    """The body of a successful answer.

    Raises:
        AnswerUnreadable: the body is not what this version understands.
    """
    try:
        return model.model_validate_json(response.body)
    except ValidationError as error:
        raise AnswerUnreadable(
            f"expected JSON of {model.__name__} from the gateway, found {response.body[:200]!r}: {error}",
            cut=False,
        ) from error


def require_whole(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """The answer, if it was not cut short on its way by something that hides it, such as a proxy.

    Raises:
        AnswerUnreadable: JSON without its end. Worth another try, unlike JSON of the wrong shape.
    """
    if request.headers.get("Accept") == _JSON and response.body[:1] in (b"", b"{"):
        try:
            json.loads(response.body)
        except ValueError as error:
            found = f"{len(response.body)} bytes that end too early"
            raise AnswerUnreadable(
                f"expected a whole JSON object from the gateway, found {found}",
                cut=True,
                idempotency_key=request.idempotency_key,
            ) from error
    return response


def takes_caps(headers: Mapping[str, str]) -> bool:
    """Whether the gateway says with this answer that it heeds ``Loopmeter-Max-Tokens``; older ones do not know it."""
    return "max-tokens" in headers.get("loopmeter-features", "").split()


def error_of(response: HttpResponse, idempotency_key: str | None) -> APIError:
    """The exception for an answer with status 400 or more, whether or not its body is a problem."""
    try:
        problem = Problem.model_validate_json(response.body)
    except ValidationError:
        text = response.body[:200].decode(errors="replace").strip()
        problem = Problem(status=response.status, code=f"http_{response.status}", detail=text or "an empty answer")
    if problem.status != response.status:  # A proxy may have changed it; what was answered last counts.
        problem = problem.model_copy(update={"status": response.status})
    return api_error_type(response.status, problem.code)(
        problem,
        request_id=response.headers.get("x-request-id"),
        retry_after_s=_retry_after_s(response.headers),
        idempotency_key=idempotency_key,
        quotas=quotas_of(response.headers),
    )


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """RFC 9110 section 10.2.3: seconds or a date. The date is read against the answer's own clock, not ours."""
    from email.utils import parsedate_to_datetime  # Loaded late, for the import time.

    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError):  # No such header, or nonsense: then the client's own waits hold.
        return None
    return max(0.0, wait.total_seconds())


def problem_of_validation(error: ValidationError) -> Problem:
    """A 422 problem that names each wrong field, what was expected, and what came."""
    fields = tuple(
        FieldProblem(
            field=".".join(str(part) for part in detail["loc"]) or "body",
            expected=_expected(detail["msg"]),
            found="nothing" if detail["type"] == "missing" else _found(detail["msg"], detail["input"])[:100],
        )
        for detail in error.errors(include_url=False, include_context=False)
    )
    return Problem(
        type="about:blank",
        title="Invalid request",
        status=422,
        code=ProblemCode.INVALID_REQUEST.value,
        detail=f"{len(fields)} field{'s are' if len(fields) > 1 else ' is'} wrong",
        errors=fields,
    )


def _found(message: str, value: object) -> str:
    """What our own validator says that it found, else the value."""
    return message.partition(", found ")[2].partition("; ")[0] or repr(value)


def _expected(message: str) -> str:
    """Pydantic's sentence without its subject, or our own validator's without what it found."""
    text = message.removeprefix("Value error, ").removeprefix("expected ").split(", found ")[0]
    if "should match pattern '\\S'" in text:
        return "text that is not blank"
    if text == "Field required":
        return "a value"
    if text.startswith("Extra inputs are "):
        return "no such field"
    return re.sub(r"^(Input|String|Tuple|Value) should (be |have )?", "", text)


class OpenResponse(Protocol):
    """An answer whose body is still on its way."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    def read(self) -> bytes:
        """Some bytes, or ``b""`` at the end. Raises ``ConnectionFailed``."""
        ...

    def close(self) -> None: ...


class Transport(Protocol):
    """What carries requests. Safe to use from several threads."""

    def send(self, request: HttpRequest) -> OpenResponse:
        """Send and return at the end of the answer's headers. Raises ``ConnectionFailed``."""
        ...

    def close(self) -> None: ...


class Clock(Protocol):
    """Monotonic seconds, and waiting."""

    def now(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...


class AsyncOpenResponse(Protocol):
    """As ``OpenResponse``."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    async def read(self) -> bytes: ...
    async def aclose(self) -> None: ...


class AsyncTransport(Protocol):
    """As ``Transport``."""

    async def send(self, request: HttpRequest) -> AsyncOpenResponse: ...
    async def aclose(self) -> None: ...


class AsyncClock(Protocol):
    """As ``Clock``."""

    def now(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...
