"""``client.live`` of both twins against a gateway process that may be killed."""

from __future__ import annotations

import asyncio
import signal

import pytest

from loopmeter import (
    AsyncLoopmeter,
    Budget,
    BudgetExceeded,
    ChunkReceived,
    Conflict,
    InsufficientTokens,
    LiveApplied,
    LiveEnded,
    LiveSession,
    LiveWarning,
    Loopmeter,
    StreamInterrupted,
)

from .conftest import House
from .test_live import due, heard, sound
from .test_server import serving


def take(session: LiveSession, count: int) -> list[ChunkReceived]:
    chunks: list[ChunkReceived] = []
    while len(chunks) < count:
        event = next(session)
        if isinstance(event, ChunkReceived):
            chunks.append(event)
    return chunks


def test_a_session_is_played_and_stopped_when_its_block_is_left(house: House) -> None:
    house.grant(5000)
    with serving(house) as server, Loopmeter(server.url, house.key) as client:
        with client.live("dusty drums", tempo_bpm=120) as session:
            chunks = take(session, 4)
            assert session.tokens_charged == due(4)
            assert session.position_s == pytest.approx(4 * 32_768 / 44_100)
            assert 0 <= session.playout_s <= session.position_s
        assert session.ended is not None and session.ended.reason == "stopped"
        again = client.loops.get(session.started.job)
        balance = client.balance()

    assert heard(chunks) == sound(4)
    assert (again.state, again.tokens_charged) == ("completed", session.ended.tokens_charged)
    assert balance.held == 0
    assert house.audit().faults == ()


def test_a_session_keeps_to_the_budget_of_its_client_and_settles_it(house: House) -> None:
    house.grant(5000)
    budget = Budget(850)
    with serving(house) as server, Loopmeter(server.url, house.key, budget=budget) as client:
        with client.live("dusty drums") as session:
            take(session, 2)
            reserved = (budget.spent, budget.reserved)
            events = list(session)
        with pytest.raises(BudgetExceeded):
            client.loops.create("drums")

    assert session.ended is not None and session.ended.reason == "budget"
    assert any(isinstance(event, LiveWarning) for event in events)
    assert reserved == (0, 850)
    assert (budget.spent, budget.reserved) == (session.ended.tokens_charged, 0)


def test_a_session_stops_at_its_budget_after_a_warning(house: House) -> None:
    house.grant(5000)
    with (
        serving(house) as server,
        Loopmeter(server.url, house.key, max_tokens=850) as client,
        client.live("dusty drums") as session,
    ):
        events = list(session)

    warning = next(event for event in events if isinstance(event, LiveWarning))
    assert isinstance(events[-1], LiveEnded) and events[-1].reason == "budget"
    assert session.tokens_charged <= 850 < due(events[-1].chunks + 1)
    assert 0 < events.index(warning) < len(events) - 1
    assert session.tokens_per_minute == pytest.approx(785, abs=5)  # The last minute holds some seconds at 10 each.


def test_a_session_outlives_kill_9_with_the_same_bytes_and_no_double_charge(house: House) -> None:
    house.grant(5000)
    with (
        serving(house) as server,
        Loopmeter(server.url, house.key) as client,
        client.live("dusty drums", tempo_bpm=120) as session,
    ):
        chunks = take(session, 5)
        server.stop(signal.SIGKILL)
        server.start()
        chunks += take(session, 5)

    assert heard(chunks) == sound(10)
    assert [chunk.meter.tokens_total for chunk in chunks] == [due(n) for n in range(1, 11)]
    assert house.audit().faults == ()


def test_a_gateway_that_stays_away_interrupts_the_session(house: House) -> None:
    house.grant(5000)
    with (
        serving(house) as server,
        Loopmeter(server.url, house.key, patience_s=0.5) as client,
        pytest.raises(StreamInterrupted),
        client.live("dusty drums") as session,
    ):
        take(session, 2)
        server.stop(signal.SIGTERM)
        take(session, 20)


def test_a_refused_start_is_the_error_of_its_problem(house: House) -> None:
    with (
        serving(house) as server,
        Loopmeter(server.url, house.key) as client,
        pytest.raises(InsufficientTokens),
        client.live("dusty drums"),
    ):
        pass


def test_a_session_that_was_taken_over_does_not_fight_for_it(house: House) -> None:
    house.grant(5000)
    with (
        serving(house) as server,
        Loopmeter(server.url, house.key) as client,
        client.live("dusty drums", session="mine") as first,
    ):
        take(first, 1)
        with client.live("dusty drums", session="mine") as second, pytest.raises(Conflict):
            take(first, 50)
        assert second.started.job == first.started.job


def test_one_task_iterates_while_another_steers_pauses_and_plays(house: House) -> None:
    house.grant(5000)

    async def play(url: str) -> tuple[list[object], str]:
        async with AsyncLoopmeter(url, house.key) as client, client.live("dusty drums", tempo_bpm=240) as session:
            events: list[object] = []
            ref = await session.steer(density=0.9, prompts={"warm pads": 1.0})
            await session.pause()

            async def later() -> None:
                await session.play()

            task = asyncio.get_running_loop().call_later(0.2, lambda: asyncio.ensure_future(later()))
            async for event in session:
                events.append(event)
                if isinstance(event, LiveApplied):
                    await session.stop()
            task.cancel()
            return events, ref

    with serving(house) as server:
        events, ref = asyncio.run(play(server.url))

    assert [event.ref for event in events if isinstance(event, LiveApplied)] == [ref]
    assert isinstance(events[-1], LiveEnded) and events[-1].reason == "stopped"
    assert [type(event).__name__ for event in events if type(event).__name__ in ("LivePaused", "LiveResumed")] in (
        ["LivePaused", "LiveResumed"],
        [],
    )
