"""The bridge: packets in, packets out, requests in between. No socket: ``_server.py`` has them.

Nothing here waits. A message is answered at once with an error, or becomes a task. Clients are told apart by where
their answers go; an id belongs to its client and its kind of request.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from loopmeter import AsyncLoopmeter, ConnectionFailed, LoopmeterError
from loopmeter_integrations.clocks import OwnClock
from loopmeter_integrations.osc import _work
from loopmeter_integrations.osc._addresses import (
    PORT_MAX,
    BadArguments,
    Value,
    encode_reply,
    parse_arguments,
    request_id,
)
from loopmeter_integrations.osc._clients import LEASE_S_MAX, TOPICS, Client, Subscriptions, TooManySubscriptions, Topic
from loopmeter_integrations.osc._codec import Argument, Message, Unreadable, decode_datagram
from loopmeter_integrations.osc._limits import MESSAGES_PER_S_IN_ALL, MessageRate, SpendingCaps
from loopmeter_integrations.osc._refusals import Refusal, explain
from loopmeter_integrations.osc._schedule import Schedule, TooFarAhead, TooManyHeld
from loopmeter_integrations.osc._spares import SpareFiles
from loopmeter_integrations.osc._stage import Stage, Told
from loopmeter_integrations.osc._table import ERROR, REPLIES, REQUESTS

RUNNING_MAX_PER_CLIENT = 8
RUNNING_MAX = 256
LOOPS_MAX = 32
CLOSE_S_MAX = 5.0
HEARTBEAT_S = 1.0
PROBE_EVERY = 5  # Heartbeats between two looks at the gateway.
# Less is the time that a message takes anyway; more is a sender whose clock was never set.
LATE_S_MIN, LATE_S_MAX = 0.01, 3600.0
_ERROR_CHARACTERS_MAX = 1000

LOOP = "/loopmeter/loop"
LIVE = "/loopmeter/live/start"

AtOnce = Callable[[Client, str, dict[str, Value]], None]

log = logging.getLogger("loopmeter.osc")


@dataclass(frozen=True, slots=True)
class _Running:
    work: _work.Work
    task: asyncio.Task[None]


class Bridge:
    """Serve OSC clients. Build and use it inside a running event loop; ``close`` ends what runs.

    ``send`` takes a packet and whom it is for. Files land in ``folder``, which must exist. ``wall_clock`` gives
    seconds since 1970, for time tags.
    """

    def __init__(
        self,
        client: AsyncLoopmeter,
        folder: Path,
        send: Callable[[bytes, Client], None],
        *,
        caps: SpendingCaps | None = None,
        stage: Callable[[Told], Stage] | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._folder = folder.resolve()
        self._files = SpareFiles(self._folder)
        self._send = send
        self._caps = caps or SpendingCaps()
        self._loop = asyncio.get_running_loop()
        self._schedule = Schedule(self._loop, wall_clock)
        self._rate_of_client = MessageRate()
        self._rate_of_all = MessageRate(MESSAGES_PER_S_IN_ALL)
        self._running: dict[tuple[Client, str, str], _Running] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscriptions = Subscriptions()
        self._heart: asyncio.Task[None] | None = None
        self._gateway = "up"
        self._closed = False
        self._stage = (stage or own_clock_alone)(self)
        self._pulse: asyncio.Task[None] | None = None
        self._at_once: dict[str, AtOnce] = {
            "/loopmeter/cancel": self._cancel,
            "/loopmeter/live/set": self._live_set,
            "/loopmeter/live/stop": self._live_stop,
            "/loopmeter/subscribe": self._subscribe,
            **self._stage.at_once,
        }
        self._stage.start()

    @property
    def running(self) -> int:
        """How many requests are in the making."""
        return len(self._running)

    def receive(self, packet: bytes, sender: Client) -> None:
        """Take a packet. Never raises, never waits."""
        for element in decode_datagram(packet):
            arguments = element.arguments if isinstance(element, Message) else (element.first,)
            told = _told_id(arguments)
            error = partial(self.error, _told_client(sender, arguments), told or "")
            if not self._admit(sender):
                if self._rate_of_client.may_complain(sender, self._loop.time()):
                    error("rate_limited", "expected fewer messages a second; send the rest again later")
                return
            if isinstance(element, Unreadable):
                log.warning("unreadable packet from %s: %s", sender, element.reason)
                if told is not None and element.address not in REPLIES:
                    error("malformed", element.reason)
                continue
            try:
                late_s = self._schedule.run_at(element.time_tag, partial(self._handle, element, sender))
            except (TooFarAhead, TooManyHeld) as refusal:
                error("time_tag", f"{refusal}; check this machine's clock against the sender's")
                continue
            if LATE_S_MIN <= late_s <= LATE_S_MAX and element.address in REQUESTS:
                client = _told_client(sender, arguments)
                self.reply(client, told or "", "/loopmeter/late", element.address, late_s * 1000)

    def forget(self, client: Client) -> None:
        """The client has gone: cancel what it asked for, and tell it nothing more."""
        self._subscriptions.forget(client)
        for (owner, _, _), running in list(self._running.items()):
            if owner == client:
                running.task.cancel()

    async def close(self) -> None:
        """Drop what waits, cancel what runs, and give the gateway a few seconds to hear of it. Once is enough."""
        if self._closed:
            return
        self._closed = True
        self._schedule.close()
        self._stage.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S_MAX)
        await self._files.close()

    def _admit(self, sender: Client) -> bool:
        now_s = self._loop.time()
        return self._rate_of_client.admit(sender, now_s) and self._rate_of_all.admit("all", now_s)

    def _handle(self, message: Message, sender: Client) -> None:
        error = partial(self.error, _told_client(sender, message.arguments), _told_id(message.arguments) or "")
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
            client = _at_port(sender, values.get("reply_port"))
            own_id = str(values["id"])
            if message.address in self._at_once:
                self._at_once[message.address](client, own_id, values)
            else:
                self._start(client, message.address, own_id, values)
        except BadArguments as mistake:
            error("bad_arguments", str(mistake))
        except Refusal as refusal:
            error(refusal.code, refusal.message)

    def _start(self, client: Client, address: str, own_id: str, values: dict[str, Value]) -> None:
        key = (client, address, own_id)
        if key in self._running:
            raise Refusal("duplicate_id", f"expected a new id for {address}, found {own_id!r}, which still runs")
        of_client = sum(1 for running in self._running if running[0] == client)
        loops = sum(1 for running in self._running if running[1] == address)
        if of_client >= RUNNING_MAX_PER_CLIENT or len(self._running) >= RUNNING_MAX or loops >= LOOPS_MAX_OF[address]:
            raise Refusal(
                "busy",
                f"expected at most {RUNNING_MAX_PER_CLIENT} requests at once from a client and {LOOPS_MAX_OF[address]} "
                f"{address} in all, found {of_client} and {loops}; wait for one to end",
            )
        reply = partial(self.reply, client, own_id)
        find, made = partial(self._stage.find, client), partial(self._stage.made, client, own_id)
        work = _work.Work(self._client, client, self._caps, self._folder, self._files, values, reply, find, made)
        running = self._running[key] = _Running(work, self.spawn(self._run(key, work)))
        # A task that is cancelled before its first step never reaches its own finally.
        running.task.add_done_callback(lambda _: self._end(key, running))

    async def _run(self, key: tuple[Client, str, str], work: _work.Work) -> None:
        client, address, own_id = key
        try:
            await _work.WORK_OF_ADDRESS[address](work)
            self._gateway = "up"
        # Whatever goes wrong, the client hears of it, and the bridge serves on.
        except Exception as error:
            self._gateway = "down" if isinstance(error, ConnectionFailed) else self._gateway
            self.error(client, own_id, *explain(error))
        finally:
            self._running.pop(key, None)
            if address == LOOP:
                self._stage.not_made(client, own_id)

    def _end(self, key: tuple[Client, str, str], running: _Running) -> None:
        if self._running.get(key) is running:
            del self._running[key]

    def _cancel(self, client: Client, own_id: str, _: dict[str, Value]) -> None:
        running = self._running.get((client, LOOP, own_id))
        if running is None:
            raise Refusal("unknown_id", f"expected the id of a loop in the making, found {own_id!r}")
        if not running.work.cancel_wanted:
            running.work.cancel_wanted = True
            self.spawn(self._run_cancel(client, own_id, running.work))

    async def _run_cancel(self, client: Client, own_id: str, work: _work.Work) -> None:
        try:
            await _work.cancel(work)
        # As in _run.
        except Exception as error:
            work.cancel_wanted = False
            self.error(client, own_id, *explain(error))

    def _live_set(self, client: Client, own_id: str, values: dict[str, Value]) -> None:
        work = self._live(client, own_id)
        if work.live is None:
            raise Refusal("unknown_id", f"expected a session that plays, found {own_id!r}, which is about to start")
        self.spawn(self._steer(client, own_id, work.live.set(str(values["name"]), float(values["value"]))))

    def _live_stop(self, client: Client, own_id: str, _: dict[str, Value]) -> None:
        work = self._live(client, own_id)
        work.cancel_wanted = True
        if work.live is not None:
            self.spawn(self._steer(client, own_id, work.live.stop()))

    def _live(self, client: Client, own_id: str) -> _work.Work:
        running = self._running.get((client, LIVE, own_id))
        if running is None:
            raise Refusal("unknown_id", f"expected the id of a live session, found {own_id!r}")
        return running.work

    async def _steer(self, client: Client, own_id: str, change: Coroutine[Any, Any, None]) -> None:
        try:
            await change
        # As in _run.
        except Exception as error:
            self.error(client, own_id, *explain(error))

    def _subscribe(self, client: Client, own_id: str, values: dict[str, Value]) -> None:
        topic, lease_s = values["topic"], min(float(values["lease_s"]), LEASE_S_MAX)
        if topic not in TOPICS:
            raise BadArguments(f"topic: expected one of {', '.join(TOPICS)}, found the string {str(topic)[:40]!r}")
        if lease_s < 0:
            raise BadArguments(f"lease_s: expected 0 or more seconds, found the number {lease_s:g}")
        now_s = self._loop.time()
        try:
            self._subscriptions.lease(topic, client, own_id, now_s + lease_s, now_s)
        except TooManySubscriptions as refusal:
            raise Refusal("busy", str(refusal)) from refusal
        self.reply(client, own_id, "/loopmeter/subscribed", topic, lease_s)
        if self._heart is None or self._heart.done():
            self._heart = self.spawn(self._beat())
        if topic == "beat" and (self._pulse is None or self._pulse.done()):
            self._pulse = self.spawn(self._stage.beat())

    async def _beat(self) -> None:
        """The heart beats as long as somebody listens."""
        for count in itertools.count():
            if not len(self._subscriptions):
                if self._pulse is not None:
                    self._pulse.cancel()
                return
            if count % PROBE_EVERY == 0:
                self.spawn(self._probe())
            self.tell("heartbeat", "/loopmeter/heartbeat", count, len(self._running), self._gateway)
            await asyncio.sleep(HEARTBEAT_S)

    async def _probe(self) -> None:
        try:
            await self._client.models()
            self._gateway = "up"
        except LoopmeterError as error:
            self._gateway = "down" if isinstance(error, ConnectionFailed) else "up"

    def is_making(self, client: Client, own_id: str) -> bool:
        """Whether a loop is in the making under this id."""
        return (client, LOOP, own_id) in self._running

    def tell(self, topic: Topic, address: str, *values: Value) -> None:
        """Tell everybody who has subscribed to the topic."""
        for client, own_id in self._subscriptions.of(topic, self._loop.time()):
            self.reply(client, own_id, address, *values)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def reply(self, client: Client, own_id: str, address: str, *values: Value) -> None:
        self._send(encode_reply(address, (own_id, *values)), client)

    def error(self, client: Client, own_id: str, code: str, message: str) -> None:
        log.info("error to %s, id %r: %s: %s", client, own_id, code, message)
        self.reply(client, own_id, ERROR, code, message[:_ERROR_CHARACTERS_MAX])


def own_clock_alone(told: Told) -> Stage:
    """A stage without an output."""
    return Stage(told, OwnClock(120.0, time.monotonic()), beats_per_bar=4)


LOOPS_MAX_OF = {address: LOOPS_MAX if address in (LOOP, LIVE) else RUNNING_MAX for address in REQUESTS}


def _told_id(arguments: Sequence[Argument]) -> str | None:
    return request_id(arguments[0]) if arguments else None


def _told_client(sender: Client, arguments: Sequence[Argument]) -> Client:
    """Where to answer a message that may be wrong: to the ``reply_port`` that it names, if that much is right."""
    for name, port in reversed(list(itertools.pairwise(arguments))):
        if name == "reply_port" and isinstance(port, int | float) and 1 <= port <= PORT_MAX:
            return _at_port(sender, int(port))
    return sender


def _at_port(sender: Client, port: Value | None) -> Client:
    """The sender itself, or a UDP port on its own host, never on another host."""
    return sender if port is None else sender.at_port(int(port))
