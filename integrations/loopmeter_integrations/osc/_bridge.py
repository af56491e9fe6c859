"""The bridge: datagrams in, datagrams out, requests in between. No socket: ``_server.py`` has it.

Nothing here waits. A message is answered at once with an error, or becomes a task. Clients are told apart by the
address that their answers go to; an id belongs to its client and its kind of request.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from loopmeter import (
    APIError,
    AsyncLoopmeter,
    BudgetExceeded,
    ConnectionFailed,
    InvalidRequest,
    LoopmeterError,
    StreamInterrupted,
)
from loopmeter_integrations.osc import _work
from loopmeter_integrations.osc._addresses import (
    ERROR,
    PORT_MAX,
    REPLIES,
    REQUESTS,
    BadArguments,
    Value,
    encode_reply,
    parse_arguments,
    request_id,
)
from loopmeter_integrations.osc._codec import Argument, Message, Unreadable, decode_datagram
from loopmeter_integrations.osc._limits import MESSAGES_PER_S_IN_ALL, MessageRate
from loopmeter_integrations.osc._schedule import Schedule, TooFarAhead, TooManyHeld

RUNNING_MAX_PER_CLIENT = 8
RUNNING_MAX = 32
CLOSE_S_MAX = 5.0
_ERROR_CHARACTERS_MAX = 1000

Endpoint = tuple[str, int]

log = logging.getLogger("loopmeter.osc")


class Bridge:
    """Serve OSC clients. Build and use it inside a running event loop; ``close`` ends what runs.

    ``send`` takes a datagram and where it goes. Files land in ``folder``, which must exist. ``wall_clock`` gives
    seconds since 1970, for time tags.
    """

    def __init__(
        self,
        client: AsyncLoopmeter,
        folder: Path,
        send: Callable[[bytes, Endpoint], None],
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._folder = folder.resolve()
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._schedule = Schedule(self._loop, wall_clock)
        self._rate_of_client = MessageRate()
        self._rate_of_all = MessageRate(MESSAGES_PER_S_IN_ALL)
        self._running: dict[tuple[Endpoint, str, str], _work.Work] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def receive(self, datagram: bytes, sender: Endpoint) -> None:
        """Take a datagram. Never raises, never waits."""
        for element in decode_datagram(datagram):
            arguments = element.arguments if isinstance(element, Message) else (element.first,)
            told = _told_id(arguments)
            error = partial(self._error, _told_client(sender, arguments), told or "")
            if not self._admit(sender):
                if self._rate_of_client.may_complain(sender, self._loop.time()):
                    error("rate_limited", "expected fewer messages a second; send the rest again later")
                return
            if isinstance(element, Unreadable):
                log.warning("unreadable datagram from %s: %s", sender, element.reason)
                if told is not None and element.address not in REPLIES:
                    error("malformed", element.reason)
                continue
            try:
                self._schedule.run_at(element.time_tag, partial(self._handle, element, sender))
            except (TooFarAhead, TooManyHeld) as refusal:
                error("time_tag", f"{refusal}; check this machine's clock against the sender's")

    async def close(self) -> None:
        """Drop what waits, cancel what runs, and give the gateway a few seconds to hear of it."""
        self._schedule.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S_MAX)

    def _admit(self, sender: Endpoint) -> bool:
        now_s = self._loop.time()
        return self._rate_of_client.admit(sender, now_s) and self._rate_of_all.admit("all", now_s)

    def _handle(self, message: Message, sender: Endpoint) -> None:
        error = partial(self._error, _told_client(sender, message.arguments), _told_id(message.arguments) or "")
        request = REQUESTS.get(message.address)
        if request is None:
            if message.address in REPLIES:  # Another bridge's answer. Answering it would never end.
                log.warning("ignored %s from %s: it is an answer", message.address, sender)
                return
            known = ", ".join(REQUESTS)
            error("unknown_address", f"expected one of {known}, found {message.address[:100]!r}")
            return
        try:
            values = parse_arguments(request, message.arguments)
        except BadArguments as mistake:
            error("bad_arguments", str(mistake))
            return
        client = _at_port(sender, values.get("reply_port"))
        if message.address == "/loopmeter/cancel":
            self._cancel(client, str(values["id"]))
        else:
            self._start(client, message.address, values)

    def _start(self, client: Endpoint, address: str, values: dict[str, Value]) -> None:
        own_id = str(values["id"])
        key = (client, address, own_id)
        if key in self._running:
            self._error(
                client, own_id, "duplicate_id", f"expected a new id for {address}, found {own_id!r}, which still runs"
            )
            return
        of_client = sum(1 for running in self._running if running[0] == client)
        if of_client >= RUNNING_MAX_PER_CLIENT or len(self._running) >= RUNNING_MAX:
            self._error(
                client,
                own_id,
                "busy",
                f"expected at most {RUNNING_MAX_PER_CLIENT} requests at once from a client and {RUNNING_MAX} in all, "
                f"found {of_client} and {len(self._running)}; wait for one to end",
            )
            return
        work = _work.Work(self._client, self._folder, values, partial(self._reply, client, own_id))
        self._running[key] = work
        self._spawn(self._run(key, work))

    async def _run(self, key: tuple[Endpoint, str, str], work: _work.Work) -> None:
        client, address, own_id = key
        try:
            await _work.WORK_OF_ADDRESS[address](work)
        # Whatever goes wrong, the client hears of it, and the bridge serves on.
        except Exception as error:
            self._error(client, own_id, *_explain(error))
        finally:
            del self._running[key]

    def _cancel(self, client: Endpoint, own_id: str) -> None:
        work = self._running.get((client, "/loopmeter/loop", own_id))
        if work is None:
            self._error(client, own_id, "unknown_id", f"expected the id of a loop in the making, found {own_id!r}")
        elif not work.cancel_wanted:
            work.cancel_wanted = True
            self._spawn(self._run_cancel(client, own_id, work))

    async def _run_cancel(self, client: Endpoint, own_id: str, work: _work.Work) -> None:
        try:
            await _work.cancel(work)
        # As in _run.
        except Exception as error:
            work.cancel_wanted = False
            self._error(client, own_id, *_explain(error))

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _reply(self, client: Endpoint, own_id: str, address: str, *values: Value) -> None:
        self._send(encode_reply(address, (own_id, *values)), client)

    def _error(self, client: Endpoint, own_id: str, code: str, message: str) -> None:
        log.info("error to %s, id %r: %s: %s", client, own_id, code, message)
        self._reply(client, own_id, ERROR, code, message[:_ERROR_CHARACTERS_MAX])


def _told_id(arguments: Sequence[Argument]) -> str | None:
    return request_id(arguments[0]) if arguments else None


def _told_client(sender: Endpoint, arguments: Sequence[Argument]) -> Endpoint:
    """Where to answer a message that may be wrong: to the ``reply_port`` that it names, if that much is right."""
    for name, port in reversed(list(itertools.pairwise(arguments))):
        if name == "reply_port" and isinstance(port, int | float) and 1 <= port <= PORT_MAX:
            return _at_port(sender, int(port))
    return sender


def _at_port(sender: Endpoint, port: Value | None) -> Endpoint:
    """The sender's own port, or another one on its own host, never on another host."""
    return sender if port is None else (sender[0], int(port), *sender[2:])  # IPv6 senders have two numbers more.


def _explain(error: Exception) -> tuple[str, str]:
    """The code and the message for an error of the SDK or of the disk. Fields are named as in the address table."""
    if isinstance(error, InvalidRequest) and error.errors:
        names = {field: argument for argument, field in _work.FIELD_OF_ARGUMENT.items()}
        parts = [f"{names.get(e.field, e.field)}: expected {e.expected}, found {e.found}" for e in error.errors]
        return "bad_arguments", "; ".join(parts)
    if isinstance(error, APIError):
        return error.code, error.message
    if isinstance(error, BudgetExceeded):
        return "over_budget", error.message
    if isinstance(error, ConnectionFailed | StreamInterrupted):
        return "unreachable", error.message
    if isinstance(error, LoopmeterError):
        return "failed", error.message
    if isinstance(error, OSError):
        return "cannot_write", f"expected a folder that can be written, found: {error}; check its rights and its space"
    log.error("fault of the bridge", exc_info=error)
    return "internal", f"the bridge failed with {type(error).__name__}; its log has the details"
