"""The bridge on a real UDP socket, over the real SDK, over a gateway that runs in this process."""

from __future__ import annotations

import wave
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.integrations.osc_peer import asynchronous, bridge_and_peer, peer_of
from tests.integrations.scripted_gateway import PRICE_TOKENS

from loopmeter import LoopRequest, Problem
from loopmeter_engine.fake import FakeEngine
from loopmeter_engine.testing import make_all
from loopmeter_integrations.osc._bridge import RUNNING_MAX_PER_CLIENT
from loopmeter_integrations.osc._work import request_options

ONE_BAR = LoopRequest(prompt="drums", tempo_bpm=120, bars=1, key="Am")


@asynchronous
async def test_hello_tells_version_engine_and_protocol(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (_, peer, _gateway):
        peer.ask("/loopmeter/hello", "h")
        assert await peer.heard() == ("/loopmeter/welcome", "h", version("loopmeter"), "fake", 1)


@asynchronous
async def test_quote_and_balance(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (_, peer, gateway):
        peer.ask("/loopmeter/quote", 7, "drums", 120.0, 1, "", "standard", "seed", 3)
        assert await peer.heard() == ("/loopmeter/quoted", "7", PRICE_TOKENS, 88_200, 4)
        peer.ask("/loopmeter/balance", "b")
        assert await peer.heard() == ("/loopmeter/balance", "b", 5000, 800)
        assert "POST /v1/loops" not in gateway.sent


@pytest.mark.parametrize(("quality", "width", "channels"), [("standard", 2, 1), ("hifi", 3, 2)])
@asynchronous
async def test_a_loop_is_accepted_made_and_written(tmp_path: Path, quality: str, width: int, channels: int) -> None:
    async with bridge_and_peer(tmp_path / "made" / "here") as (_, peer, _gateway):
        peer.ask("/loopmeter/loop", "take1", "drums", 120.0, 1, "Am", quality)
        answers = await peer.heard_until("/loopmeter/ready")

    request = ONE_BAR.model_copy(update={"quality": quality})
    chunks = make_all(FakeEngine(), request)
    assert answers[0] == ("/loopmeter/accepted", "take1", "job1", PRICE_TOKENS)
    assert [answer[:4] for answer in answers[1:-1]] == [("/loopmeter/progress", "take1", n, 4) for n in (1, 2, 3, 4)]
    assert [answer[4] for answer in answers[1:-1]] == [204, 501, 798, 800]
    _, own_id, wav_path, midi_path, frames, bpm, tokens = answers[-1]
    assert (own_id, frames, bpm, tokens) == ("take1", 88_200, 120.0, PRICE_TOKENS)
    assert Path(str(wav_path)).parent == Path(str(midi_path)).parent == tmp_path / "made" / "here"
    with wave.open(str(wav_path)) as wav:
        assert wav.getparams()[:4] == (channels, width, 44_100, 88_200)
        assert wav.readframes(88_200) == b"".join(chunk.pcm for chunk in chunks)
    assert Path(str(midi_path)).read_bytes() == FakeEngine().score(request).midi
    assert len(list((tmp_path / "made" / "here").iterdir())) == 2


@asynchronous
async def test_a_hostile_id_stays_inside_the_folder(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path / "out") as (_, peer, _gateway):
        peer.ask_loop("../../evil")
        ready = (await peer.heard_until("/loopmeter/ready"))[-1]
    assert ready[1] == "../../evil"
    assert Path(str(ready[2])) == tmp_path / "out" / "evil-job1.wav"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


@asynchronous
async def test_options_reach_the_request(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (_, peer, _gateway):
        peer.ask_loop("a", "drums", 1, "seed", 7, "layers", "drums, bass", "beats_per_bar", 3)
        ready = (await peer.heard_until("/loopmeter/ready"))[-1]
    request = ONE_BAR.model_copy(update={"seed": 7, "layers": ("drums", "bass"), "beats_per_bar": 3})
    with wave.open(str(ready[2])) as wav:
        assert wav.readframes(10**6) == b"".join(chunk.pcm for chunk in make_all(FakeEngine(), request))


def test_lists_are_written_in_one_string() -> None:
    options = request_options({"key": "", "sections": "the intro 1 0.3, verse 3", "tracks": "bass, drums", "id": "a"})
    request = LoopRequest(prompt="drums", **options)
    assert request.sections is not None
    assert [(part.name, part.bars, part.energy) for part in request.sections] == [
        ("the intro", 1, 0.3),
        ("verse", 3, None),
    ]
    assert request.tracks == ("bass", "drums")


@asynchronous
async def test_a_section_without_bars_is_named(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (_, peer, gateway):
        peer.ask_loop("b", "drums", 4, "sections", "intro, verse 3")
        answer = await peer.heard()
        assert answer[:3] == ("/loopmeter/error", "b", "bad_arguments")
        assert "sections.0.bars: expected a value" in str(answer[3])
        assert gateway.sent == []


@asynchronous
async def test_one_id_from_two_clients_is_two_requests(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (endpoint, one, _gateway), peer_of(endpoint) as two:
        one.ask_loop("same", "drums")
        two.ask_loop("same", "bass")
        ready_one = (await one.heard_until("/loopmeter/ready"))[-1]
        ready_two = (await two.heard_until("/loopmeter/ready"))[-1]
    assert ready_one[1] == ready_two[1] == "same"
    assert Path(str(ready_one[2])).read_bytes() != Path(str(ready_two[2])).read_bytes()


@asynchronous
async def test_an_id_is_free_again_when_its_request_has_ended(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (_, peer, gateway):
        gateway.chunks_allowed = 1
        peer.ask_loop("a")
        await peer.heard_until("/loopmeter/progress")
        peer.ask_loop("a")
        error = await peer.heard()
        assert error[:3] == ("/loopmeter/error", "a", "duplicate_id")
        peer.ask("/loopmeter/balance", "a")
        assert (await peer.heard())[0] == "/loopmeter/balance"
        await gateway.allow_all()
        first = (await peer.heard_until("/loopmeter/ready"))[-1]
        peer.ask_loop("a")
        second = (await peer.heard_until("/loopmeter/ready"))[-1]
    assert first[2] != second[2]


@asynchronous
async def test_a_cancelled_loop_costs_what_came_and_leaves_no_file(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (_, peer, gateway):
        gateway.chunks_allowed = 2
        peer.ask_loop("a")
        await peer.heard_until("/loopmeter/progress")
        await peer.heard_until("/loopmeter/progress")
        peer.ask("/loopmeter/cancel", "a")
        assert await peer.heard() == ("/loopmeter/cancelled", "a", 501)
        assert gateway.sent.count("DELETE /v1/loops/job1") == 1
        peer.ask("/loopmeter/cancel", "a")
        assert (await peer.heard())[:3] == ("/loopmeter/error", "a", "unknown_id")
    assert list(tmp_path.iterdir()) == []


@asynchronous
async def test_a_cancel_before_the_gateway_accepts_is_kept(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (_, peer, gateway):
        gateway.orders_allowed.clear()
        gateway.chunks_allowed = 0
        peer.ask_loop("a")
        await gateway.order_came.wait()
        peer.ask("/loopmeter/cancel", "a")
        peer.ask("/loopmeter/balance", "after")
        assert (await peer.heard())[:2] == ("/loopmeter/balance", "after")
        gateway.orders_allowed.set()
        assert await peer.heard_until("/loopmeter/cancelled") == [
            ("/loopmeter/accepted", "a", "job1", PRICE_TOKENS),
            ("/loopmeter/cancelled", "a", 0),
        ]


@asynchronous
async def test_another_clients_loop_cannot_be_cancelled(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (endpoint, one, gateway), peer_of(endpoint) as two:
        gateway.chunks_allowed = 1
        one.ask_loop("a")
        await one.heard_until("/loopmeter/progress")
        two.ask("/loopmeter/cancel", "a")
        assert (await two.heard())[:3] == ("/loopmeter/error", "a", "unknown_id")
        await gateway.allow_all()
        await one.heard_until("/loopmeter/ready")


@asynchronous
async def test_one_client_cannot_take_every_place(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (endpoint, greedy, gateway), peer_of(endpoint) as other:
        gateway.chunks_allowed = 0
        for number in range(RUNNING_MAX_PER_CLIENT + 1):
            greedy.ask_loop(f"take{number}")
        answers = [await greedy.heard() for _ in range(RUNNING_MAX_PER_CLIENT + 1)]
        (error,) = [answer for answer in answers if answer[0] == "/loopmeter/error"]
        assert error[2] == "busy"
        assert "expected at most 8 requests at once" in str(error[3])
        other.ask("/loopmeter/hello", "h")
        assert (await other.heard())[0] == "/loopmeter/welcome"


@asynchronous
async def test_answers_go_to_the_port_that_the_request_names(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (endpoint, sender, gateway), peer_of(endpoint) as listener:
        gateway.chunks_allowed = 1
        sender.ask_loop("a", "drums", 1, "reply_port", listener.port)
        await listener.heard_until("/loopmeter/progress")
        sender.ask("/loopmeter/cancel", "a")
        assert (await sender.heard())[2] == "unknown_id"
        sender.ask("/loopmeter/cancel", "a", "reply_port", listener.port)
        assert (await listener.heard())[0] == "/loopmeter/cancelled"
        sender.ask("/loopmeter/hello", "h", "reply_port", 70_000)
        assert await sender.heard() == (
            "/loopmeter/error",
            "h",
            "bad_arguments",
            "reply_port: expected 1 to 65535, found the number 70000",
        )


@pytest.mark.parametrize(
    ("address", "arguments"),
    [("/loopmeter/loop", ("a", "drums", "fast")), ("/loopmeter/looop", ("a",)), ("/loopmeter/hello", ("a", "x", 1))],
)
@asynchronous
async def test_a_mistake_too_is_answered_to_the_named_port(
    tmp_path: Path, address: str, arguments: tuple[str | int, ...]
) -> None:
    async with bridge_and_peer(tmp_path) as (endpoint, sender, _gateway), peer_of(endpoint) as listener:
        sender.ask(address, *arguments, "reply_port", listener.port)
        assert (await listener.heard())[:2] == ("/loopmeter/error", "a")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a", "drums", 0.0, 4, "Am", "standard"), "bpm: expected greater than or equal to 40, found 0.0"),
        (("a", "drums", -92.0, 4, "Am", "standard"), "bpm: expected greater than or equal to 40, found -92.0"),
        (("a", "drums", 92.0, 10_000, "Am", "standard"), "bars: expected less than or equal to 256, found 10000"),
        (("a", "drums", 92.0, 4, "H#", "standard"), "key: expected a key such as 'Am', 'F#' or 'Eb minor', found 'H#'"),
        (("a", "drums", 92.0, 4, "Am", "best"), "quality: expected 'standard' or 'hifi', found 'best'"),
        (("a", " ", 92.0, 4, "Am", "standard"), "prompt: expected"),
        (("a", "drums", 40.0, 256, "Am", "standard"), "bars: expected at most 300 s, found more"),
        (("a", "drums", 92.0, 4, "Am", "standard", "layers", "kazoo"), "layers"),
        (("a", "drums", "92", 4, "Am", "standard"), "bpm: expected a number, found the string '92'"),
    ],
)
@asynchronous
async def test_a_bad_loop_names_the_argument_and_orders_nothing(
    tmp_path: Path, arguments: tuple[str | int | float, ...], said: str
) -> None:
    async with bridge_and_peer(tmp_path) as (_, peer, gateway):
        peer.ask("/loopmeter/loop", *arguments)
        answer = await peer.heard()
        assert answer[:3] == ("/loopmeter/error", "a", "bad_arguments")
        assert said in str(answer[3])
        assert gateway.jobs == {}
    assert list(tmp_path.iterdir()) == []


@asynchronous
async def test_an_unknown_address_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (_, peer, _gateway):
        peer.ask("/loopmeter/looop", "a", 3)
        answer = await peer.heard()
        assert answer[:3] == ("/loopmeter/error", "a", "unknown_address")
        assert "/loopmeter/loop," in str(answer[3])
        assert "'/loopmeter/looop'" in str(answer[3])


@asynchronous
async def test_the_gateways_problem_is_passed_on(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (_, peer, gateway):
        gateway.problem = Problem(status=402, code="insufficient_tokens", detail="800 needed, 12 available")
        peer.ask_loop("a")
        answer = await peer.heard()
        assert answer[:3] == ("/loopmeter/error", "a", "insufficient_tokens")
        assert "800 needed, 12 available" in str(answer[3])


@asynchronous
async def test_a_price_above_the_budget_is_refused_before_ordering(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (_, peer, gateway):
        peer.ask_loop("a", "drums", 1, "max_tokens", PRICE_TOKENS - 1)
        assert (await peer.heard())[:3] == ("/loopmeter/error", "a", "over_budget")
        assert "POST /v1/loops" not in gateway.sent


@asynchronous
async def test_a_loop_with_a_budget_takes_one_call_at_a_gateway_that_heeds_caps(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (_, peer, gateway):
        gateway.features = "max-tokens"
        peer.ask("/loopmeter/balance", "b")  # Any answer of the gateway says what it heeds.
        await peer.heard()
        peer.ask_loop("a", "drums", 1, "max_tokens", PRICE_TOKENS - 1)
        refused = await peer.heard()
        peer.ask_loop("a", "drums", 1, "max_tokens", PRICE_TOKENS)
        await peer.heard_until("/loopmeter/ready")

        assert refused[:3] == ("/loopmeter/error", "a", "over_budget")
        assert f"at most {PRICE_TOKENS - 1} tokens, found {PRICE_TOKENS}" in str(refused[3])
        assert gateway.sent[1:3] == ["POST /v1/loops"] * 2 and "POST /v1/quotes" not in gateway.sent


@asynchronous
async def test_a_loop_without_a_budget_takes_one_call_to_be_accepted(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (_, peer, gateway):
        peer.ask_loop("a")
        assert (await peer.heard())[0] == "/loopmeter/accepted"
        assert gateway.sent == ["POST /v1/loops"]
        await peer.heard_until("/loopmeter/ready")


@asynchronous
async def test_an_unreachable_gateway_is_told_and_survived(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (_, peer, gateway):
        gateway.unreachable = True
        peer.ask("/loopmeter/hello", "h")
        answer = await peer.heard()
        assert answer[:3] == ("/loopmeter/error", "h", "unreachable")
        assert "loopmeter serve" in str(answer[3])
        gateway.unreachable = False
        peer.ask("/loopmeter/hello", "h")
        assert (await peer.heard())[0] == "/loopmeter/welcome"


@asynchronous
async def test_a_folder_that_has_gone_is_told_before_anything_is_ordered(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path / "out") as (_, peer, gateway):
        (tmp_path / "out").rmdir()
        peer.ask_loop("a")
        assert (await peer.heard())[:3] == ("/loopmeter/error", "a", "cannot_write")
        assert gateway.sent == []


@asynchronous
async def test_a_folder_that_goes_between_two_loops_is_told_before_the_second_is_ordered(tmp_path: Path) -> None:
    """The files of the second loop were open already; they are not trusted."""
    async with bridge_and_peer(tmp_path / "out") as (_, peer, gateway):
        peer.ask_loop("a")
        await peer.heard_until("/loopmeter/ready")
        (tmp_path / "out").rename(tmp_path / "elsewhere")
        peer.ask_loop("b")
        assert (await peer.heard())[:3] == ("/loopmeter/error", "b", "cannot_write")
        assert gateway.sent.count("POST /v1/loops") == 1


@asynchronous
async def test_closing_the_bridge_cancels_what_runs(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (_, peer, gateway):
        gateway.chunks_allowed = 1
        peer.ask_loop("a")
        await peer.heard_until("/loopmeter/progress")
    assert "DELETE /v1/loops/job1" in gateway.sent
    assert list(tmp_path.iterdir()) == []
