"""Sends the outbox to a billing system while the gateway runs, instead of a command from a timer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from loopmeter_gateway.database import Database
from loopmeter_gateway.jobs import owners
from loopmeter_gateway.money.outbox import OutboxEvent, note_taken, pending_events
from loopmeter_gateway.money.targets import TargetFailed, UsageTarget

_log = logging.getLogger(__name__)


class UsageSender:
    """Sends what a target has not taken, again and again. Of several gateways on one database, the first one does."""

    def __init__(self, database: Database, name: str, target: UsageTarget, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._name = name
        self._target = target
        self._now_ms = now_ms

    async def send_pending(self) -> int:
        """Send until nothing is left; how many events. Raises ``TargetFailed``; what was taken before is noted.

        Cancelled in the midst of a batch, it ends that batch first: what a target took is not sent to it again.
        """
        sent = 0
        while events := await self._database.read(partial(pending_events, target=self._name)):
            batch = asyncio.create_task(self._send(events))
            try:
                await asyncio.shield(batch)
            except asyncio.CancelledError:
                await asyncio.gather(batch, return_exceptions=True)
                raise
            sent += len(events)
        return sent

    async def _send(self, events: list[OutboxEvent]) -> None:
        await asyncio.to_thread(self._target.send, events)
        await self._database.write(partial(note_taken, target=self._name, events=events, now_ms=self._now_ms()))

    async def run(self, gateway_id: str, every_s: float) -> None:
        """Send every so many seconds, for ever. A target that fails is asked again the next time."""
        while True:
            await asyncio.sleep(every_s)
            try:
                first = await self._database.read(partial(owners.first_alive, now_ms=self._now_ms()))
                if first in (None, gateway_id):
                    await self.send_pending()
            except TargetFailed as failed:
                _log.warning("usage was not taken: %s", failed)
            # A database that is away now may be back then.
            except Exception:
                _log.exception("usage could not be sent and will be")
