from __future__ import annotations

from pathlib import Path

import pytest

from loopmeter import LoopRequest
from loopmeter_integrations.osc._addresses import (
    OPTIONS,
    REPLIES,
    REQUESTS,
    BadArguments,
    encode_reply,
    markdown_tables,
    parse_arguments,
    request_id,
)
from loopmeter_integrations.osc._codec import Message, decode_datagram
from loopmeter_integrations.osc._sources import MATERIALS

LOOP = REQUESTS["/loopmeter/loop"]
GOOD = ("take1", "dusty drums", 92.0, 4, "Am", "standard")
DOCUMENT = Path(__file__).parents[2] / "docs" / "integrations" / "osc.md"


def test_a_loop_is_read_by_name() -> None:
    assert parse_arguments(LOOP, (*GOOD, "seed", 7, "layers", "drums,bass")) == {
        "id": "take1",
        "prompt": "dusty drums",
        "bpm": 92.0,
        "bars": 4,
        "key": "Am",
        "quality": "standard",
        "seed": 7,
        "layers": "drums,bass",
    }


def test_a_sender_that_has_only_floats_is_understood() -> None:
    values = parse_arguments(LOOP, (1.0, "drums", 92.0, 4.0, "Am", "standard", "seed", 7.0))
    assert (values["id"], values["bars"], values["seed"]) == ("1", 4, 7)


def test_a_whole_number_is_a_tempo() -> None:
    assert parse_arguments(LOOP, ("a", "drums", 92, 4, "Am", "standard"))["bpm"] == 92.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "id: expected a string as argument 1, found none; send /loopmeter/loop s:id s:prompt f:bpm"),
        (("a", "drums", 92.0), "bars: expected a whole number as argument 4, found none"),
        (("", *GOOD[1:]), "id: expected 1 to 120 characters or a number, found the string ''"),
        ((b"a", *GOOD[1:]), "id: expected 1 to 120 characters or a number, found a blob of 1 bytes"),
        (("a", 5, 92.0, 4, "Am", "standard"), "prompt: expected a string, found the number 5"),
        (("a", "x", "92", 4, "Am", "standard"), "bpm: expected a number, found the string '92'"),
        (("a", "x", float("nan"), 4, "Am", "standard"), "bpm: expected a number, found the number nan"),
        (("a", "x", True, 4, "Am", "standard"), "bpm: expected a number, found true"),
        (("a", "x", 92.0, 4.5, "Am", "standard"), "bars: expected a whole number, found the number 4.5"),
        (("a", "x", 92.0, float("inf"), "Am", "standard"), "bars: expected a whole number, found the number inf"),
        (("a", "x", 92.0, 4, None, "standard"), "key: expected a string, found nil"),
        (("a", "x", 92.0, 4, [[]], "standard"), "key: expected a string, found an array"),
        ((*GOOD, "sead", 7), "options: expected one of beats_per_bar, seed"),
        ((*GOOD, "seed", "seven"), "seed: expected a whole number, found the string 'seven'"),
        ((*GOOD, "seed"), "the string 'seed' alone at the end"),
        ((*GOOD, "seed", 1, "seed", 2), "seed: expected it once, found it twice"),
        ((*GOOD, "bars", 2), "options: expected one of"),
    ],
)
def test_a_mistake_names_the_argument_the_expected_and_the_found(arguments: tuple[object, ...], said: str) -> None:
    with pytest.raises(BadArguments) as caught:
        parse_arguments(LOOP, arguments)  # type: ignore[arg-type]
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("first", "told"),
    [("a", "a"), (7, "7"), (7.0, "7"), (7.5, "7.5"), (True, None), (None, None), ("", None), ("x" * 121, None)],
)
def test_an_id_may_be_a_string_or_a_number(first: object, told: str | None) -> None:
    assert request_id(first) == told  # type: ignore[arg-type]


def test_the_reply_may_share_the_requests_address() -> None:
    assert decode_datagram(encode_reply("/loopmeter/balance", ["a", 5, 2])) == [
        Message("/loopmeter/balance", ("a", 5, 2))
    ]


def test_every_argument_is_of_a_type_that_every_sender_has() -> None:
    parameters = [p for entry in (*REQUESTS.values(), *REPLIES.values()) for p in entry.parameters]
    assert {parameter.kind for parameter in (*parameters, *OPTIONS.values())} == {"i", "f", "s"}


def test_every_answer_of_a_request_is_in_the_table() -> None:
    assert {answer for request in REQUESTS.values() for answer in request.answers} <= REPLIES.keys()


def test_the_options_are_all_the_fields_of_a_request() -> None:
    positional = {"prompt", "tempo_bpm", "bars", "key", "quality"}
    files = {material.option for material in MATERIALS}
    own = {"max_tokens", "reply_port", "fade_s"}
    assert OPTIONS.keys() - files - own == LoopRequest.model_fields.keys() - positional
    assert files <= OPTIONS.keys()


def test_the_documented_tables_are_those_of_the_code() -> None:
    """To regenerate: paste what ``python -m loopmeter_integrations.osc`` prints."""
    assert markdown_tables() in DOCUMENT.read_text()
