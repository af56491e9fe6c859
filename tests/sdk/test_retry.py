"""The retry policy as a table, and the errors that it reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopmeter import ChunkProtocolError, ConnectionFailed, Problem, ServerError
from loopmeter._core import HttpResponse, error_of
from loopmeter._exceptions import LoopmeterError
from loopmeter._retry import RetryPolicy

POLICY = RetryPolicy(retries_max=3, patience_s=10, wait_first_s=1, wait_max_s=4)


def answer(status: int, code: str = "x", **headers: str) -> LoopmeterError:
    body = Problem(status=status, code=code).model_dump_json().encode()
    return error_of(
        HttpResponse(status, {name.replace("_", "-"): value for name, value in headers.items()}, body), None
    )


REFUSED = ConnectionFailed("http://x", "refused")
DATE = "Thu, 01 Jan 2026 00:00:00 GMT"


@pytest.mark.parametrize(
    ("attempt", "error", "elapsed_s", "wait_s"),
    [
        pytest.param(1, REFUSED, 0.0, 1.0, id="first retry"),
        pytest.param(2, REFUSED, 0.0, 2.0, id="doubles"),
        pytest.param(3, REFUSED, 0.0, 4.0, id="last retry"),
        pytest.param(4, REFUSED, 0.0, None, id="retries used up"),
        pytest.param(3, REFUSED, 6.0, 4.0, id="patience just enough"),
        pytest.param(3, REFUSED, 6.1, None, id="patience used up"),
        pytest.param(1, answer(500), 0.0, 1.0, id="500"),
        pytest.param(1, answer(503, retry_after="5"), 0.0, 5.0, id="503 with Retry-After"),
        pytest.param(1, answer(429, retry_after="0"), 0.0, 0.0, id="Retry-After now"),
        pytest.param(1, answer(429, retry_after="11"), 0.0, None, id="Retry-After beyond patience"),
        pytest.param(
            1, answer(429, retry_after="Thu, 01 Jan 2026 00:00:03 GMT", date=DATE), 0.0, 3.0, id="Retry-After as a date"
        ),
        pytest.param(1, answer(429, retry_after=DATE), 0.0, 1.0, id="a date without the answer's clock"),
        pytest.param(1, answer(429, retry_after="soon"), 0.0, 1.0, id="nonsense in Retry-After"),
        pytest.param(1, answer(408), 0.0, 1.0, id="408"),
        pytest.param(1, answer(409, "request_in_progress"), 0.0, 1.0, id="409 in progress"),
        pytest.param(1, answer(409), 0.0, None, id="409"),
        pytest.param(1, answer(402, retry_after="1"), 0.0, None, id="402 never"),
        pytest.param(1, answer(400), 0.0, None, id="400"),
        pytest.param(1, answer(401), 0.0, None, id="401"),
        pytest.param(1, answer(422), 0.0, None, id="422"),
        pytest.param(1, ChunkProtocolError("truncated", ""), 0.0, 1.0, id="cut stream"),
        pytest.param(1, ChunkProtocolError("order", ""), 0.0, None, id="wrong order"),
        pytest.param(1, KeyError("bug"), 0.0, None, id="not ours"),
    ],
)
def test_the_policy_as_a_table(attempt: int, error: BaseException, elapsed_s: float, wait_s: float | None) -> None:
    assert POLICY.wait_s(attempt, error, elapsed_s) == wait_s


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_jitter_shortens_a_wait_by_a_quarter_at_most(attempt: int, jitter: float) -> None:
    policy = RetryPolicy(retries_max=None)
    whole = policy.wait_s(attempt, REFUSED, 0.0)
    wait = policy.wait_s(attempt, REFUSED, 0.0, jitter)

    assert whole is not None and wait is not None
    assert 0.75 * whole <= wait <= whole <= policy.wait_max_s


def test_an_answer_that_is_no_problem_is_still_a_typed_error() -> None:
    error = error_of(HttpResponse(502, {"x-request-id": "r"}, b"<h1>Bad Gateway</h1>"), "key")

    assert isinstance(error, ServerError) and error.retryable
    assert (error.code, error.request_id, error.idempotency_key) == ("http_502", "r", "key")
    assert "Bad Gateway" in str(error)


def test_a_message_names_each_wrong_field_once() -> None:
    problem = Problem(
        status=422,
        code="invalid_request",
        detail="A field is wrong.",
        errors=({"field": "bars", "expected": "at most 256", "found": "10000"},),  # type: ignore[arg-type]  # as JSON
    )
    error = error_of(HttpResponse(422, {}, problem.model_dump_json().encode()), None)

    assert str(error) == "A field is wrong [422 invalid_request]; bars: expected at most 256, found 10000"
