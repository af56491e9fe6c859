"""When to try again, as a pure function; tenacity runs it for plain calls, the stream flow for broken streams.

Only errors that say ``retryable`` of themselves are tried again: lost connections, 408, 429, 5xx, and 409 while the
first request with the same key still runs. Never 402 or any other 4xx. Every attempt of a call carries the same
idempotency key, because the key is part of the request value.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loopmeter._exceptions import APIError, LoopmeterError

if TYPE_CHECKING:
    import tenacity

log = logging.getLogger("loopmeter")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits that double from ``wait_first_s`` to ``wait_max_s``, each shortened by up to a quarter at random.

    A ``Retry-After`` is obeyed to the second. Ends after ``retries_max`` retries (``None``: no such limit), and when
    the next wait would pass ``patience_s`` seconds.
    """

    retries_max: int | None = 4
    patience_s: float = 30.0
    wait_first_s: float = 0.2
    wait_max_s: float = 4.0

    def wait_s(
        self, attempt: int, error: BaseException, elapsed_s: float, jitter: float = 0.0, *, again: bool = False
    ) -> float | None:
        """Seconds to wait after failure number ``attempt`` (from 1), or ``None``: give up. ``jitter`` is in [0, 1].

        ``again`` tries once more also what does not say ``retryable`` of itself.
        """
        if not isinstance(error, LoopmeterError) or not (error.retryable or again):
            return None
        if self.retries_max is not None and attempt > self.retries_max:
            return None
        wait = min(self.wait_first_s * 2.0 ** min(attempt - 1, 30), self.wait_max_s) * (1 - jitter / 4)
        if isinstance(error, APIError) and error.retry_after_s is not None:
            wait = error.retry_after_s
        return wait if elapsed_s + wait <= self.patience_s else None


def tenacity_stop(policy: RetryPolicy) -> Callable[[tenacity.RetryCallState], bool]:
    """``policy`` as tenacity's ``stop``. Patience counts the time spent waiting; attempts have their own timeouts."""
    return lambda state: _wait_s(policy, state, 0.0) is None


def tenacity_wait(policy: RetryPolicy) -> Callable[[tenacity.RetryCallState], float]:
    """``policy`` as tenacity's ``wait``."""
    return lambda state: _wait_s(policy, state, random.random()) or 0.0


def tenacity_log(state: tenacity.RetryCallState) -> None:
    """Say that a call is tried again, before the wait."""
    error = state.outcome.exception() if state.outcome is not None else None
    what = error.what if isinstance(error, LoopmeterError) else error
    log.info("try %d in %.2f s: %s", state.attempt_number + 1, state.upcoming_sleep, what)


def _wait_s(policy: RetryPolicy, state: tenacity.RetryCallState, jitter: float) -> float | None:
    error = state.outcome.exception() if state.outcome is not None else None
    return None if error is None else policy.wait_s(state.attempt_number, error, state.idle_for, jitter)
