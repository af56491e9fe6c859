"""A budget: tokens that orders may spend together, counted on this side, so that a refusal costs no request."""

from __future__ import annotations

import threading

from loopmeter._exceptions import BudgetExceeded


class Budget:
    """Tokens for many orders. Safe to share between clients, threads and tasks of one process.

        budget = Budget(2_000)
        with Loopmeter(budget=budget) as client:
            client.loops.create("dusty lo-fi drums", bars=4)
        print(budget.spent, budget.left)

    Each order reserves its quoted price before anything is held, and settles for what it was charged once its end is
    known. What may have been charged counts as spent: an order whose answer was lost, or whose stream was left to run
    on, stays reserved until ``settle`` or ``release``. An idempotency key counts once, however often it is ordered.
    Keeps one number for each key that was charged.

    Raises:
        ValueError: fewer than 0 tokens.
    """

    def __init__(self, tokens: int) -> None:
        if tokens < 0:
            raise ValueError(f"expected a budget of 0 tokens or more, found {tokens}")
        self.tokens = tokens
        self._charged: dict[str, int] = {}
        self._reserved: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def spent(self) -> int:
        """Tokens that were charged, as far as is known."""
        with self._lock:
            return sum(self._charged.values())

    @property
    def reserved(self) -> int:
        """Tokens of orders whose end is not known yet."""
        with self._lock:
            return sum(self._reserved.values())

    @property
    def left(self) -> int:
        """What the next order may cost."""
        with self._lock:
            return self._left()

    def reserve(self, idempotency_key: str, tokens: int) -> None:
        """Set a price aside. What this key was charged before is part of it.

        Raises:
            BudgetExceeded: it is more than what is left; nothing was set aside.
        """
        with self._lock:
            left = self._left() + self._reserved.get(idempotency_key, 0)
            price = max(0, tokens - self._charged.get(idempotency_key, 0))
            if price > left:
                raise BudgetExceeded(price, left, budget=self.tokens, idempotency_key=idempotency_key)
            self._reserved[idempotency_key] = price

    def settle(self, idempotency_key: str, tokens: int) -> None:
        """Count what this key was charged in all, in place of what was reserved. May be repeated."""
        with self._lock:
            self._reserved.pop(idempotency_key, None)
            if tokens > 0:
                self._charged[idempotency_key] = max(tokens, self._charged.get(idempotency_key, 0))

    def release(self, idempotency_key: str) -> None:
        """Give back what was reserved: the order was refused."""
        with self._lock:
            self._reserved.pop(idempotency_key, None)

    def _left(self) -> int:
        return self.tokens - sum(self._charged.values()) - sum(self._reserved.values())

    def __repr__(self) -> str:
        return f"Budget({self.tokens}, spent={self.spent}, reserved={self.reserved})"
