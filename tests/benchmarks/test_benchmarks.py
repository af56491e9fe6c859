"""That the benchmarks measure: short runs with engines of a known pace."""

from __future__ import annotations

import re

import pytest
from benchmarks import attention, clients, engine, latents, ledger, sdk, table
from scripts.bench import Part, machine, page

from loopmeter_engine.fake import FakeEngine

BARS = 15  # 30 s: 41 chunks.


def number(cell: str) -> float:
    found = re.match(r"[\d.,]+", cell)
    assert found is not None, cell
    return float(found[0].replace(",", ""))


def test_an_engine_of_a_known_pace_is_measured_right() -> None:
    """0.02 s for each of 41 chunks is 0.82 s for 30 s: 36.6 times real time, less what making costs."""
    loop, speed, first, early, late, ratio, state, memory, in_turn, at_once, gain = engine.measure(
        FakeEngine(chunk_delay_s=0.02), bars=BARS
    )

    for cell in (loop.standard, loop.hifi, speed.standard, speed.hifi):
        assert 3 < number(cell) <= 36.7
    for row in (first, early, late):
        assert number(row.standard) >= 20
    assert number(gain.standard) == pytest.approx(number(at_once.standard) / number(in_turn.standard), rel=0.05)
    assert 0.2 < number(ratio.standard) < 5
    assert (state.standard, memory.standard) == ("64; 64 bytes", "1; 1 MB")


def test_linear_attention_holds_less_than_softmax_over_the_whole() -> None:
    *times, memory = attention.measure(lengths_s=(3, 60), rounds=1)

    assert [row.what for row in times] == ["pass over 3 s", "pass over 60 s"]
    assert all(number(figure) > 0 for row in times for figure in (row.linear_in_blocks, row.linear, row.softmax))
    assert 0 < number(memory.linear_in_blocks) < number(memory.softmax)


def test_latents_take_less_time_values_and_memory_than_samples() -> None:
    duration, values, memory = latents.measure(length_s=0.75, rounds=1)

    assert number(duration.samples) > 1
    assert number(values.samples) == pytest.approx(64, rel=0.1)
    assert 0 <= number(memory.latents) < number(memory.samples)


def test_clients_wait_for_a_real_gateway_and_a_real_bridge() -> None:
    first_chunk, accepted, echo, ratio, late, beside = clients.measure("fake", loops=3, messages=5)

    for row in (first_chunk, accepted, echo, late, beside):
        assert 0 < number(row.p50) <= number(row.p99)
    assert number(echo.p50) < number(accepted.p50)
    assert number(ratio.p50) == pytest.approx(number(accepted.p50) / number(echo.p50), rel=0.2)


def test_the_sdk_is_measured_against_bare_httpx_on_a_real_gateway() -> None:
    made, stored, with_asyncio, first_chunk, imported = sdk.measure(bars=2, streams=1, first_chunks=2)

    for row in (made, stored, with_asyncio, first_chunk, imported):
        assert number(row.bare) > 0 and number(row.sdk) > 0
    assert number(imported.sdk) > number(imported.bare)


def test_charges_are_measured_on_both_stores() -> None:
    for row in ledger.measure(rounds=1, seconds=0.1, streams=4):
        assert all(number(rate) > 0 for rate in row[1:5])
        least = min(number(row.one_customer), number(row.many_customers))
        assert number(row.ratio) == pytest.approx(least / number(row.raw_commits), abs=0.01)


def test_the_page_has_every_table_and_names_the_machine() -> None:
    part = Part("Speed", "How fast.", ("what", "p50", "bar"), [("a chunk", "1 ms", "2 ms")])

    assert page(machine(), [part]).endswith(
        "## Speed\n\nHow fast.\n\n|  | p50 | bar |\n| --- | --- | --- |\n| a chunk | 1 ms | 2 ms |\n"
    )
    assert "cores" in machine()


@pytest.mark.parametrize(
    ("rows", "shown"),
    [([("a", "1")], "   n\na  1"), ([("long name", "1"), ("b", "22")], "           n\nlong name  1\nb          22")],
    ids=["one", "two"],
)
def test_a_plain_table_lines_up(rows: list[tuple[str, str]], shown: str) -> None:
    assert table.plain(("name", "n"), rows) == shown
