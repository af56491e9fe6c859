"""A client with a cache and a pack: what is free, what is paid, and what plays when nothing can be paid."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from loopmeter import (
    AsyncLoop,
    Budget,
    BudgetExceeded,
    ConnectionFailed,
    InsufficientTokens,
    InvalidRequest,
    Loop,
    LoopCache,
    LoopRequest,
    StreamInterrupted,
)
from loopmeter.bake import Pack, bake, parse_music, plan_bake
from loopmeter.testing import Cut, FakeGateway, Refuse

CALM = LoopRequest(prompt="calm", tempo_bpm=120, bars=1)
TWO = {"pack": {"name": "new"}, "loop": [{"name": "explore", "prompt": "calm"}]}


@pytest.fixture
def cache(tmp_path: Path) -> LoopCache:
    return LoopCache(tmp_path / "cache")


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    music = parse_music(
        {
            "pack": {"name": "game"},
            "defaults": {"tempo_bpm": 120, "bars": 1},
            "loop": [{"name": "explore", "prompt": "calm"}, {"name": "battle", "prompt": "war", "stems": ["drums"]}],
        },
        tmp_path,
    )
    with FakeGateway().client() as client:
        return bake(client, plan_bake(client, music, tmp_path / "pack"))


def test_a_loop_is_paid_once_and_then_comes_from_the_cache(cache: LoopCache) -> None:
    gateway = FakeGateway()
    with gateway.client(cache=cache) as client:
        first = client.loops.create(CALM)
        again = client.loops.create("calm", tempo_bpm=120, bars=1)

    assert (first.source, again.source) == ("gateway", "cache")
    assert (first.tokens_charged, again.tokens_charged) == (800, 0)
    assert again.pcm == first.pcm and again.midi() == first.midi() and again.job == first.job
    assert len(gateway.jobs) == 1


def test_a_cache_is_shared_between_clients_and_kept_without_a_gateway(cache: LoopCache) -> None:
    with FakeGateway().client(cache=cache) as client:
        first = client.loops.create(CALM)
    unplugged = FakeGateway()
    unplugged.reachable = False
    with unplugged.client(cache=LoopCache(cache.folder)) as client:
        again = client.loops.create(CALM)

    assert again.source == "cache" and again.pcm == first.pcm
    assert unplugged.clock.now() == FakeGateway().clock.now()  # Nobody waited.


def test_a_loop_of_other_weights_is_made_anew(cache: LoopCache) -> None:
    gateway = FakeGateway()
    with gateway.client(cache=cache) as client:
        first = client.loops.create(CALM)
        kept = cache.get(CALM)
        assert kept is not None
        cache.put(CALM, type(kept)(kept.job, kept.pcm, kept.meters, kept.midi, "older"))
        again = client.loops.create(CALM)

    assert (first.source, again.source) == ("gateway", "gateway")


def test_the_async_client_caches_as_well(cache: LoopCache) -> None:
    async def twice() -> tuple[AsyncLoop, AsyncLoop, bytes]:
        async with FakeGateway().async_client(cache=cache) as client:
            first, again = await client.loops.create(CALM), await client.loops.create(CALM)
            return first, again, await again.midi()

    first, again, midi = asyncio.run(twice())

    assert (first.source, again.source) == ("gateway", "cache")
    assert again.pcm == first.pcm and midi.startswith(b"MThd")


def offline(pack: Pack, **options: object) -> Loop:
    gateway = FakeGateway()
    gateway.reachable = False
    with gateway.client(pack=pack, max_retries=0) as client:
        return client.loops.create(**({"prompt": CALM} | options))  # type: ignore[arg-type]


def test_without_a_gateway_the_pack_plays_and_says_so(pack: Pack) -> None:
    loop = offline(pack)

    assert loop.source == "pack" and loop.tokens_charged == 0
    assert "no answer from" in loop.reason
    assert loop.pcm == pack.read("explore").pcm and loop.midi() == pack.read("explore").midi


def test_for_a_loop_that_is_not_in_the_pack_the_named_one_plays(pack: Pack) -> None:
    loop = offline(pack, prompt="something else", fallback="battle.drums")

    assert loop.source == "pack"
    assert loop.pcm == pack.read("battle", "drums").pcm


def test_without_the_loop_and_without_a_name_the_error_is_the_callers(pack: Pack) -> None:
    with pytest.raises(ConnectionFailed):
        offline(pack, prompt="something else")


def test_a_damaged_pack_leaves_the_error_with_a_note(pack: Pack) -> None:
    (pack.folder / "explore.wav").write_bytes(b"")

    with pytest.raises(ConnectionFailed) as caught:
        offline(pack, fallback="explore")
    assert "The pack could not help either" in caught.value.__notes__[0]


def test_without_tokens_the_pack_plays(pack: Pack) -> None:
    with FakeGateway(tokens=799).client(pack=pack) as client:
        loop = client.loops.create(CALM)

    assert loop.source == "pack" and "insufficient_tokens" in loop.reason


def test_above_the_budget_the_pack_plays(pack: Pack) -> None:
    gateway = FakeGateway()
    with gateway.client(pack=pack, budget=Budget(799)) as client:
        loop = client.loops.create(CALM)

    assert loop.source == "pack" and gateway.balance().held == 0
    assert len(gateway.jobs) == 0


def test_a_broken_gateway_is_no_gateway(pack: Pack) -> None:
    with FakeGateway(faults=[Refuse(503)]).client(pack=pack, max_retries=0) as client:
        assert client.loops.create(CALM).source == "pack"


def test_a_wrong_request_is_not_hidden_by_the_pack(pack: Pack) -> None:
    with FakeGateway().client(pack=pack) as client, pytest.raises(InvalidRequest):
        client.loops.create("calm", bars=10_000)


def test_without_a_pack_out_of_tokens_stays_an_error(cache: LoopCache) -> None:
    with FakeGateway(tokens=0).client(cache=cache) as client:
        with pytest.raises(InsufficientTokens):
            client.loops.create(CALM)
        with pytest.raises(BudgetExceeded):
            client.loops.create(CALM, max_tokens=1)


def test_a_fallback_that_does_not_exist_is_found_before_it_is_needed(pack: Pack) -> None:
    unknown = pytest.raises(ValueError, match=r"fallback: expected one of explore, battle\.drums, found 'boss'")
    with FakeGateway().client(pack=pack) as client, unknown:
        client.loops.create(CALM, fallback="boss")
    with FakeGateway().client() as client, pytest.raises(ValueError, match="expected a client with a pack"):
        client.loops.create(CALM, fallback="explore")


def test_options_for_one_call_keep_cache_and_pack(cache: LoopCache, pack: Pack) -> None:
    with FakeGateway(tokens=0).client(cache=cache, pack=pack) as client:
        assert client.with_options(max_retries=1).loops.create(CALM).source == "pack"


def test_a_stream_without_a_gateway_plays_the_pack_chunk_by_chunk_and_says_so(pack: Pack) -> None:
    gateway = FakeGateway()
    gateway.reachable = False
    with (
        gateway.client(pack=pack, max_retries=0) as client,
        client.loops.stream("else", fallback="battle.drums") as stream,
    ):
        chunks = list(stream)

    assert (stream.source, stream.tokens_charged) == ("pack", 0) and "no answer from" in stream.reason
    assert isinstance(stream.rescued_from, ConnectionFailed)
    assert b"".join(chunk.pcm for chunk in chunks) == pack.read("battle", "drums").pcm
    assert [chunk.index for chunk in chunks] == list(range(stream.started.chunks)) and len(chunks) > 1
    assert stream.progress.fraction == 1.0
    assert stream.bill is not None and (stream.bill.state, stream.bill.tokens_charged) == ("completed", 0)


def test_a_stream_without_tokens_gives_the_packs_loop_in_every_form(pack: Pack, tmp_path: Path) -> None:
    kept = pack.read("explore")
    with FakeGateway(tokens=0).client(pack=pack) as client:
        with client.loops.stream(CALM) as stream:
            stream.save(tmp_path / "calm.wav")
        with client.loops.stream(CALM) as stream:
            loop = stream.collect()

    assert (tmp_path / "calm.wav").read_bytes()[44:] == kept.pcm == loop.pcm
    assert (loop.source, loop.tokens_charged, loop.midi()) == ("pack", 0, kept.midi)


def test_a_stream_that_breaks_behind_its_first_chunk_stays_an_error(pack: Pack) -> None:
    """What was heard is the gateway's loop; half of another behind it would be neither."""
    gateway = FakeGateway()
    with gateway.client(pack=pack, patience_s=0.0) as client, client.loops.stream(CALM, detach=True) as stream:
        next(stream)
        gateway.reachable = False
        with pytest.raises(StreamInterrupted):
            list(stream)

    assert stream.source == "gateway"


def test_a_stream_whose_order_was_taken_but_brought_no_chunk_plays_the_pack(pack: Pack) -> None:
    gateway = FakeGateway(faults=[Cut(300)])
    with gateway.client(pack=pack, patience_s=0.0) as client, client.loops.stream(CALM) as stream:
        pcm = b"".join(stream.pcm())

    assert stream.source == "pack" and pcm == pack.read("explore").pcm


def test_the_async_stream_plays_the_pack_as_well(pack: Pack) -> None:
    async def played() -> tuple[str, bytes]:
        async with FakeGateway(tokens=0).async_client(pack=pack) as client, client.loops.stream(CALM) as stream:
            return stream.source, b"".join([chunk.pcm async for chunk in stream])

    assert asyncio.run(played()) == ("pack", pack.read("explore").pcm)


def test_a_bake_takes_nothing_from_a_pack_of_its_client(pack: Pack, tmp_path: Path) -> None:
    gateway = FakeGateway()
    music = parse_music({"defaults": CALM.model_dump(include={"tempo_bpm", "bars"}), **TWO}, tmp_path)
    with gateway.client(pack=pack) as client:
        plan = plan_bake(client, music, tmp_path / "new")
        gateway.grant(-gateway.balance().available)
        with pytest.raises(InsufficientTokens):
            bake(client, plan)

    assert not (tmp_path / "new" / "explore.wav").exists()
