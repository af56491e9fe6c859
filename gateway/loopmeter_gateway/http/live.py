"""``WS /v1/live``: one connection to one live session. The protocol stands in ``docs/live.md``.

Two tasks per connection: one hears the client, one speaks. Whatever ends either ends the connection; the session then
waits for the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from litestar import WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect
from pydantic import ValidationError

from loopmeter import (
    LIVE_CREDIT_MAX,
    LIVE_PATH,
    ChunkReceived,
    LiveCredit,
    LiveEnded,
    LiveError,
    LiveHeartbeat,
    LivePause,
    LivePaused,
    LivePing,
    LivePlay,
    LiveResume,
    LiveResumed,
    LiveSet,
    LiveStart,
    LiveStarted,
    LiveStop,
    ResolvedLive,
    ServerMessage,
    encode_chunk_event,
    encode_live,
    parse_client_message,
)
from loopmeter_gateway.gateway import Gateway
from loopmeter_gateway.http.errors import invalid_fields
from loopmeter_gateway.http.guards import caller_of, gateway_of, require_customer
from loopmeter_gateway.live.session import LiveSession
from loopmeter_gateway.problems import Refused

_Socket = WebSocket[Any, Any, Any]
CLOSE_DONE, CLOSE_RESTART, CLOSE_PROBLEM = 1000, 1012, 4000
FIRST_MESSAGE_S = 10.0


@websocket(LIVE_PATH)
async def live(socket: _Socket) -> None:
    """An endless session, steered while it plays."""
    await socket.accept()
    gateway = gateway_of(socket)
    try:
        await require_customer(socket, socket.route_handler)
        session, first, credit = await _open(gateway, socket)
    except Refused as refused:
        await _refuse(socket, refused)
        return
    except (WebSocketDisconnect, TimeoutError):
        return
    connection = _Connection(gateway, session, socket, first)
    gateway.sessions.connect(session, connection, credit)
    try:
        await connection.run()
    finally:
        gateway.sessions.disconnect(session)


async def _open(gateway: Gateway, socket: _Socket) -> tuple[LiveSession, int, int]:
    """The session that the first message asks for, the first chunk to send, and the client's credit."""
    text = await asyncio.wait_for(socket.receive_text(), FIRST_MESSAGE_S)
    message = _parse(text)
    caller = caller_of(socket)
    if isinstance(message, LiveStart):
        session = await gateway.sessions.start(caller, message)
        return session, session.record.chunks_delivered, message.credit
    if isinstance(message, LiveResume):
        session = await gateway.sessions.resume(caller, message.session)
        delivered = session.record.chunks_delivered
        if message.from_chunk > delivered:
            raise Refused.field("from_chunk", f"0 to {delivered}, the next chunk", message.from_chunk)
        return session, message.from_chunk, message.credit
    raise Refused.field("type", "'start' or 'resume' as the first message", repr(message.type))


def _parse(text: str) -> Any:
    try:
        return parse_client_message(text)
    except ValidationError as error:
        raise invalid_fields(error) from error


async def _refuse(socket: _Socket, refused: Refused) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        wait_s = refused.amounts.get("retry_after_s") if refused.kind.status in (429, 503) else None
        await socket.send_text(encode_live(LiveError(problem=refused.problem(), retry_after_s=wait_s)))
        await socket.close(CLOSE_PROBLEM + refused.kind.status, refused.code)


class _Connection:
    """One socket and the session that it plays. ``index`` is the chunk to be sent next."""

    def __init__(self, gateway: Gateway, session: LiveSession, socket: _Socket, index: int) -> None:
        self._gateway = gateway
        self._session = session
        self._socket = socket
        self._index = index
        self._paused_said = session.paused_since is not None
        self._warned = False
        self._answers: list[ServerMessage] = []

    async def run(self) -> None:
        """Until the session has ended, the client has left, or another connection has taken over."""
        tasks = {asyncio.create_task(self._speak()), asyncio.create_task(self._hear())}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            with contextlib.suppress(WebSocketDisconnect):
                task.result()

    async def _hear(self) -> None:
        while True:
            text = await self._socket.receive_text()
            try:
                await self._take(_parse(text))
            except Refused as refused:
                self._answer(LiveError(problem=refused.problem()))

    async def _take(self, message: Any) -> None:
        sessions, session = self._gateway.sessions, self._session
        match message:
            case LiveSet():
                try:
                    await sessions.steer(session, message)
                except Refused as refused:
                    self._answer(LiveError(problem=refused.problem(), ref=message.ref))
            case LivePause():
                sessions.pause(session)
            case LivePlay():
                sessions.play(session)
            case LiveStop():
                await sessions.end(session, "stopped")
            case LiveCredit(chunks=chunks):
                session.credit = min(session.credit + chunks, LIVE_CREDIT_MAX)
                session.notify()
            case LivePing():
                self._answer(LiveHeartbeat(tokens_charged=session.record.tokens_charged))
            case _:
                raise Refused.field("type", "a message within a session", repr(message.type))

    def _answer(self, message: ServerMessage) -> None:
        if len(self._answers) < LIVE_CREDIT_MAX:  # Who asks faster than it reads is not answered every time.
            self._answers.append(message)
        self._session.notify()

    async def _speak(self) -> None:
        await self._send(self._started())
        session = self._session
        while True:
            if session.connection is not self:
                await self._socket.close(CLOSE_PROBLEM + 409, "taken_over")
                return
            answers, self._answers = self._answers, []
            for message in answers:
                await self._send(message)
            await self._say_paused()
            if self._has_chunk():
                await self._send_chunk()
            elif session.record.ended:
                await self._send(self._ended())
                await self._socket.close(CLOSE_DONE, session.reason or "")
                return
            elif self._gateway.closing:
                await self._socket.close(CLOSE_RESTART, "the gateway restarts; resume")
                return
            elif not self._answers and not await session.change(self._gateway.settings.keep_alive_s):
                await self._send(LiveHeartbeat(tokens_charged=session.record.tokens_charged))

    def _has_chunk(self) -> bool:
        """Whether there is one that the client has credit for: kept, or made and not paused."""
        session = self._session
        if session.credit < 1:
            return False
        if self._index < session.record.chunks_delivered:
            return True
        playing = session.paused_since is None and not session.record.ended and not self._gateway.closing
        return playing and bool(session.ahead) and not session.stopping

    async def _send_chunk(self) -> None:
        session = self._session
        event = await self._gateway.next_event(session, self._index)
        if not isinstance(event, ChunkReceived):
            return
        for applied in session.applied_in(event.index):
            await self._send(applied)
        session.credit -= 1
        self._index = event.index + 1
        await self._socket.send_bytes(encode_chunk_event(event))
        if session.warning is not None and not self._warned:
            await self._send(session.warning)
        self._warned = session.warning is not None

    async def _say_paused(self) -> None:
        paused = self._session.paused_since is not None
        if paused != self._paused_said and not self._session.record.ended:
            self._paused_said = paused
            await self._send(LivePaused(chunk=self._index) if paused else LiveResumed(chunk=self._index))

    async def _send(self, message: ServerMessage) -> None:
        await self._socket.send_text(encode_live(message))

    def _started(self) -> LiveStarted:
        session, terms, settings = self._session, self._session.terms, self._gateway.settings
        return LiveStarted(
            job=session.record.id,
            session=session.session,
            request=ResolvedLive.model_validate(session.request.model_dump()),
            sample_rate_hz=terms.sample_rate_hz,
            channels=terms.channels,
            bits=terms.bits,
            chunk_frames=terms.chunk_frames,
            from_chunk=self._index,
            known_refs=session.refs,
            paused=session.paused_since is not None,
            tokens_charged=session.record.tokens_charged,
            tokens_per_minute=terms.minute_tokens,
            max_tokens=terms.max_tokens,
            heartbeat_s=settings.keep_alive_s,
            resume_s=settings.grace_s,
        )

    def _ended(self) -> LiveEnded:
        record = self._session.record
        return LiveEnded(
            reason=self._session.reason or ("failed" if record.state == "failed" else "stopped"),
            chunks=record.chunks_delivered,
            tokens_charged=record.tokens_charged,
            problem=record.error,
        )
