"""How a client makes its calls, and what one order of a loop is. Values; no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeVar

from loopmeter._budget import Budget
from loopmeter._core import new_idempotency_key
from loopmeter._models import LoopRequest, Quote
from loopmeter._quota import Quota
from loopmeter._retry import RetryPolicy
from loopmeter._settings import Timeout


@dataclass(frozen=True, slots=True)
class CallOptions:
    """How a client makes its calls. ``timeout`` of ``None`` leaves the transport's own limits."""

    policy: RetryPolicy = field(default_factory=RetryPolicy)
    timeout: Timeout | None = None
    max_tokens: int | None = None
    budget: Budget | None = None

    def changed(
        self,
        *,
        timeout: Timeout | None,
        max_retries: int | None,
        patience_s: float | None,
        max_tokens: int | None,
        budget: Budget | None,
    ) -> CallOptions:
        """The options with some replaced; ``None`` leaves one as it is.

        Raises:
            ValueError: a negative number.
        """
        policy = self.policy
        if max_retries is not None:
            policy = replace(policy, retries_max=_not_negative("max_retries", max_retries))
        if patience_s is not None:
            policy = replace(policy, patience_s=_not_negative("patience_s", patience_s))
        if max_tokens is not None:
            _not_negative("max_tokens", max_tokens)
        return CallOptions(
            policy=policy,
            timeout=timeout if timeout is not None else self.timeout,
            max_tokens=max_tokens if max_tokens is not None else self.max_tokens,
            budget=budget if budget is not None else self.budget,
        )


@dataclass(slots=True)
class Seen:
    """What the answers so far said besides what was asked."""

    quotas: tuple[Quota, ...] = ()
    takes_caps: bool = False


_Number = TypeVar("_Number", int, float)


def _not_negative(name: str, value: _Number) -> _Number:
    if value < 0:
        raise ValueError(f"{name}: expected 0 or more, found {value}")
    return value


@dataclass(frozen=True, slots=True)
class Order:
    """A loop to be made: what, at which price at most, under which key. The key is made with the order, once."""

    request: LoopRequest
    idempotency_key: str
    quote: Quote | None = None
    quote_id: str | None = None
    max_tokens: int | None = None
    budget: Budget | None = None

    @classmethod
    def new(
        cls,
        request: LoopRequest,
        quote: Quote | None,
        quote_id: str | None,
        idempotency_key: str | None,
        options: CallOptions,
    ) -> Order:
        if quote_id is not None and quote is not None:
            raise ValueError("expected quote or quote_id, found both; pass the Quote alone")
        for name, limit in (("max_tokens", options.max_tokens), ("a budget", options.budget)):
            if quote_id is not None and limit is not None:
                raise ValueError(f"expected a Quote beside {name}, found a quote_id, which does not say its price")
        key = idempotency_key or new_idempotency_key()
        return cls(request, key, quote, quote_id, options.max_tokens, options.budget)

    def settle(self, tokens: int) -> None:
        """What the order was charged in all, for good."""
        if self.budget is not None:
            self.budget.settle(self.idempotency_key, tokens)

    def refused(self) -> None:
        """Nothing came of the order."""
        if self.budget is not None:
            self.budget.release(self.idempotency_key)
