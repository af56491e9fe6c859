"""What the gateway refuses, and why: one table of codes, one exception. No HTTP in here.

A code is stable: clients act on it. Its status and title stand in ``PROBLEMS``; the detail is written where the
refusal is made and says what was expected, what was found and what to do.
"""

from __future__ import annotations

from typing import NamedTuple

from loopmeter import FieldProblem, Problem

TYPE_PREFIX = "urn:loopmeter:problem:"


class ProblemKind(NamedTuple):
    """The part of a problem that is equal for all its occurrences."""

    status: int
    title: str


PROBLEMS: dict[str, ProblemKind] = {
    "malformed_json": ProblemKind(400, "The body is not JSON"),
    "unauthenticated": ProblemKind(401, "No valid API key"),
    "insufficient_tokens": ProblemKind(402, "Not enough tokens"),
    "over_max_tokens": ProblemKind(402, "The price is above the cap of the request"),
    "key_budget_exceeded": ProblemKind(402, "The budget of this key is spent"),
    "forbidden": ProblemKind(403, "This key may not do that"),
    "model_not_in_plan": ProblemKind(403, "The plan does not include this model"),
    "not_found": ProblemKind(404, "Not found"),
    "quote_unknown": ProblemKind(404, "No such quote"),
    "method_not_allowed": ProblemKind(405, "Method not allowed"),
    "not_acceptable": ProblemKind(406, "No such form"),
    "not_finished": ProblemKind(409, "The job is still being made"),
    "name_taken": ProblemKind(409, "The name is taken"),
    "price_book_used": ProblemKind(409, "The price book is in use and never changes"),
    "reference_reused": ProblemKind(409, "The reference belongs to another movement"),
    "refund_too_large": ProblemKind(409, "More than is left to refund"),
    "key_ended": ProblemKind(409, "The key has ended"),
    "quote_used": ProblemKind(409, "The quote is used"),
    "job_ended": ProblemKind(409, "The job has ended"),
    "quote_expired": ProblemKind(410, "The quote has expired"),
    "chunk_expired": ProblemKind(410, "The sound is not kept any more"),
    "body_too_large": ProblemKind(413, "The body is too large"),
    "unsupported_media_type": ProblemKind(415, "Wrong content type"),
    "range_not_satisfiable": ProblemKind(416, "No such range"),
    "invalid_request": ProblemKind(422, "A field is wrong"),
    "quote_mismatch": ProblemKind(422, "The quote is for another request"),
    "idempotency_key_reused": ProblemKind(422, "The idempotency key belongs to another request"),
    "rate_limited": ProblemKind(429, "Too many requests"),
    "too_many_streams": ProblemKind(429, "Too many live sessions at once"),
    "live_unsupported": ProblemKind(501, "This engine does not play live"),
    "taken_over": ProblemKind(409, "Another connection plays this session"),
    "internal": ProblemKind(500, "The gateway broke"),
    "engine_failed": ProblemKind(502, "The engine broke"),
    "engine_changed": ProblemKind(503, "The engine is another one than the job began with"),
    "hold_expired": ProblemKind(503, "The job took too long"),
    "not_ready": ProblemKind(503, "Not ready"),
    "overloaded": ProblemKind(503, "Too much work is waiting"),
}


class Refused(Exception):
    """A request that cannot be served. ``amounts`` are further integers for the client, such as ``needed``.

    Raises:
        KeyError: ``code`` is not in ``PROBLEMS``.
    """

    def __init__(self, code: str, detail: str, *, errors: tuple[FieldProblem, ...] = (), **amounts: int) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.kind = PROBLEMS[code]
        self.detail = detail
        self.errors = errors
        self.amounts = amounts

    @classmethod
    def field(cls, field: str, expected: str, found: object, code: str = "invalid_request") -> Refused:
        """One field is wrong."""
        error = FieldProblem(field=field, expected=expected, found=str(found))
        return cls(code, f"{field}: expected {expected}, found {found}", errors=(error,))

    def problem(self, request_id: str | None = None) -> Problem:
        """This refusal as it goes over the wire, without ``amounts``."""
        return Problem(
            type=TYPE_PREFIX + self.code,
            title=self.kind.title,
            status=self.kind.status,
            detail=self.detail,
            code=self.code,
            errors=self.errors,
            request_id=request_id,
        )
