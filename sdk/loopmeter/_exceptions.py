"""Everything that this package raises on purpose.

LoopmeterError
├── BudgetExceeded              the price is above max_tokens; nothing was held or charged
├── ConnectionFailed            the gateway could not be reached, or stopped answering
├── StreamInterrupted           a stream broke and could not be resumed in time; what was charged can be fetched again
├── LoopNotCompleted            the job was cancelled or failed; it is charged for the chunks that came
├── ChunkProtocolError          the bytes of a stream are not what the chunk protocol says
├── AnswerUnreadable            an answer is not the JSON that this version understands
└── APIError                    the gateway answered with a problem
    ├── InvalidRequest          400, 413, 415, 422: a field is wrong; ``errors`` names it
    ├── AuthenticationError     401, 403: no key, an unknown key, or a key without this right
    ├── InsufficientTokens      402: the balance does not cover the price
    ├── NotFound                404: no such job or quote for this key
    ├── Conflict                409, 410: the quote or the idempotency key cannot be used (also where it is 422)
    ├── RateLimited             429: too many requests; ``retry_after_s``
    └── ServerError             5xx

Each says what went wrong (``what``, and ``code``, stable) and what to do about it (``advice``), both together as its
text, whether the same call with the same ``idempotency_key`` may succeed later without any change (``retryable``), and,
if a gateway answered, its ``status`` and ``request_id``. The clients retry by themselves; an error that reaches the
caller has used up the retries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from loopmeter._models import FieldProblem, Problem
    from loopmeter._quota import Quota

ChunkProtocolErrorKind = Literal["truncated", "checksum", "order", "too_large", "malformed"]


class LoopmeterError(Exception):
    """Base of this tree. ``idempotency_key`` is that of the request which failed, if it had one.

    Repeating the request with the same key makes and charges nothing twice.
    """

    code: str = "error"
    status: int | None = None
    request_id: str | None = None
    retryable: bool = False

    def __init__(self, message: str, *, advice: str = "", idempotency_key: str | None = None) -> None:
        super().__init__(f"{message}; {advice}" if advice else message)
        self.message = str(self)
        self.what = message
        self.advice = advice
        self.idempotency_key = idempotency_key


class BudgetExceeded(LoopmeterError):
    """The quoted price is above the caller's ``max_tokens``, or above what is left of a ``Budget``.

    Raised before anything is held. ``max_tokens`` is the limit that was met, ``budget`` the size of the budget, if one
    refused.
    """

    code = "budget_exceeded"

    def __init__(
        self, tokens: int, max_tokens: int, *, budget: int | None = None, idempotency_key: str | None = None
    ) -> None:
        limit, lever = ("", "max_tokens") if budget is None else (f" (what is left of {budget})", "the budget")
        super().__init__(
            f"expected a price of at most {max_tokens} tokens{limit}, found {tokens}",
            advice=f"ask for fewer bars or lower quality, or raise {lever}. Nothing was held or charged",
            idempotency_key=idempotency_key,
        )
        self.tokens = tokens
        self.max_tokens = max_tokens
        self.budget = budget


class ConnectionFailed(LoopmeterError):
    """The gateway could not be reached, or did not answer in time. The request may or may not have arrived."""

    code = "connection_failed"
    retryable = True

    def __init__(self, url: str, reason: str, *, idempotency_key: str | None = None) -> None:
        super().__init__(
            f"no answer from {url} ({reason})",
            advice="check that the gateway runs there: start one with 'loopmeter serve', or name another in "
            "LOOPMETER_URL",
            idempotency_key=idempotency_key,
        )
        self.url = url
        self.reason = reason


class StreamInterrupted(LoopmeterError):
    """A stream broke off and could not be resumed within its patience.

    ``job_id`` and ``next_index`` continue it: ``client.loops.resume(job_id, from_index=next_index)`` is free for
    chunks that are already charged.
    """

    code = "stream_interrupted"
    retryable = True

    def __init__(self, job_id: str, next_index: int, reason: str, *, idempotency_key: str | None = None) -> None:
        super().__init__(
            f"the stream of job {job_id} broke before chunk {next_index} ({reason})",
            advice=f"take it up again with loops.resume({job_id!r}, from_index={next_index})",
            idempotency_key=idempotency_key,
        )
        self.job_id = job_id
        self.next_index = next_index
        self.reason = reason


class LoopNotCompleted(LoopmeterError):
    """The job ended as ``cancelled`` or ``failed``. ``tokens_charged`` covers the delivered chunks only."""

    code = "loop_not_completed"

    def __init__(
        self,
        job_id: str,
        state: str,
        tokens_charged: int,
        problem: Problem | None,
        *,
        idempotency_key: str | None = None,
    ) -> None:
        reason = f": {problem.detail or problem.title}" if problem is not None else ""
        super().__init__(
            f"job {job_id} is {state}{reason}; {tokens_charged} tokens were charged for what was delivered",
            advice="ask again with a new request",
            idempotency_key=idempotency_key,
        )
        self.job_id = job_id
        self.state = state
        self.tokens_charged = tokens_charged
        self.problem = problem


class ChunkProtocolError(LoopmeterError):
    """The bytes of a chunk stream break the protocol; see ``kind``."""

    code = "chunk_protocol"

    def __init__(self, kind: ChunkProtocolErrorKind, message: str) -> None:
        super().__init__(f"{kind} chunk stream: {message}")
        self.kind = kind
        # A cut or damaged stream is an accident of transport; the other kinds would come out the same again.
        self.retryable = kind in ("truncated", "checksum")


class AnswerUnreadable(LoopmeterError):
    """A successful answer is not the JSON that was expected. ``cut`` says that it ends too early, as after a break."""

    code = "answer_unreadable"

    def __init__(self, message: str, *, cut: bool, idempotency_key: str | None = None) -> None:
        advice = "try again" if cut else "check that the address is a Loopmeter gateway of this version"
        super().__init__(message, advice=advice, idempotency_key=idempotency_key)
        self.cut = cut
        self.retryable = cut


class APIError(LoopmeterError):
    """The gateway answered with a problem: HTTP ``status``, stable ``code``, ``request_id`` for its operator.

    ``quotas`` are the limits that the answer named.
    """

    status: int

    def __init__(
        self,
        problem: Problem,
        *,
        request_id: str | None = None,
        retry_after_s: float | None = None,
        idempotency_key: str | None = None,
        quotas: tuple[Quota, ...] = (),
    ) -> None:
        advice = _ADVICE.get(problem.code) or _ADVICE_BY_STATUS.get(problem.status, "")
        super().__init__(_sentence(problem), advice=advice, idempotency_key=idempotency_key)
        self.problem = problem
        self.quotas = quotas
        self.status = problem.status
        self.code = problem.code
        self.request_id = problem.request_id or request_id
        self.retry_after_s = retry_after_s
        self.retryable = problem.status in (408, 429) or problem.status >= 500 or problem.code == "request_in_progress"


class InvalidRequest(APIError):
    """The request is wrong; ``errors`` names each field, what was expected and what came. Nothing was charged."""

    @property
    def errors(self) -> tuple[FieldProblem, ...]:
        return self.problem.errors


class AuthenticationError(APIError):
    """No key, an unknown key, or a key without this right. Set LOOPMETER_API_KEY or pass ``api_key``."""


class InsufficientTokens(APIError):
    """The balance does not cover the price. Never retried: grant tokens, then ask again."""


class NotFound(APIError):
    """There is no such job or quote for this key."""


class Conflict(APIError):
    """The quote has expired or is for another request, or the idempotency key was used with another body."""


class RateLimited(APIError):
    """Too many requests. ``retry_after_s`` is what the gateway asked for, in seconds."""


class ServerError(APIError):
    """The gateway or its engine broke. Safe to repeat with the same ``idempotency_key``."""


_BY_STATUS: Mapping[int, type[APIError]] = {
    400: InvalidRequest,
    401: AuthenticationError,
    402: InsufficientTokens,
    403: AuthenticationError,
    404: NotFound,
    409: Conflict,
    410: Conflict,
    413: InvalidRequest,
    415: InvalidRequest,
    422: InvalidRequest,
    429: RateLimited,
}


# 422 by the draft on idempotency keys, yet no field of the request is wrong.
_BY_CODE: Mapping[str, type[APIError]] = {"idempotency_key_reused": Conflict, "quote_mismatch": Conflict}


def api_error_type(status: int, code: str) -> type[APIError]:
    """The class for an answer: by the tables above, ``ServerError`` from 500 on, else ``APIError``."""
    return _BY_CODE.get(code) or _BY_STATUS.get(status, ServerError if status >= 500 else APIError)


_ADVICE: Mapping[str, str] = {
    "quote_expired": "ask for a new quote",
    "quote_used": "ask for a new quote",
    "quote_unknown": "ask for a new quote",
    "idempotency_key_reused": "use a new key for a new request",
    "request_in_progress": "ask again later with the same key",
}
_ADVICE_BY_STATUS: Mapping[int, str] = {
    401: "set LOOPMETER_API_KEY or pass api_key; an operator makes keys with 'loopmeter admin key create'",
    402: "grant tokens with 'loopmeter admin grant', or ask for a cheaper loop",
    403: "use a key with this right",
    429: "ask again later",
    500: "ask again later with the same idempotency key, and tell the operator the request id",
    502: "ask again with a new request",
    503: "ask again later with the same idempotency key",
}


def _sentence(problem: Problem) -> str:
    text = problem.detail or problem.title or "no detail given"
    fields = "; ".join(
        f"{error.field}: expected {error.expected}" + (f", found {error.found}" if error.found else "")
        for error in problem.errors
    )
    said_already = all(error.field in text for error in problem.errors)
    return f"{text.rstrip('.')} [{problem.status} {problem.code}]" + ("" if said_already else f"; {fields}")
