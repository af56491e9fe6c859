from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopmeter_integrations.osc._codec import (
    BUNDLE_DEPTH_MAX,
    ELEMENTS_MAX,
    IMMEDIATELY,
    Message,
    Unreadable,
    decode_datagram,
    encode_message,
)

HELLO = encode_message("/loopmeter/hello", "s", ["a"])


def bundle(time_tag: int, *elements: bytes) -> bytes:
    sized = b"".join(struct.pack(">I", len(element)) + element for element in elements)
    return b"#bundle\0" + struct.pack(">Q", time_tag) + sized


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    st.integers(-(2**31), 2**31 - 1),
    st.floats(width=32, allow_nan=False),
)
def test_encode_then_decode_is_identity(text: str, whole: int, number: float) -> None:
    datagram = encode_message("/a/b", "sif", [text, whole, number])
    assert decode_datagram(datagram) == [Message("/a/b", (text, whole, number))]


def test_numbers_too_large_for_the_wire_are_sent_as_the_largest() -> None:
    assert decode_datagram(encode_message("/a", "ii", [2**40, -(2**40)])) == [Message("/a", (2**31 - 1, -(2**31)))]


def test_a_string_with_a_null_keeps_the_arguments_behind_it() -> None:
    assert decode_datagram(encode_message("/a", "si", ["x\0y\ud800", 3])) == [Message("/a", ("x y?", 3))]


def test_a_message_without_type_tags_has_no_arguments() -> None:
    assert decode_datagram(b"/loopmeter/x\0\0\0\0") == [Message("/loopmeter/x", ())]


def test_messages_of_a_bundle_carry_its_time_tag() -> None:
    assert decode_datagram(bundle(77, HELLO, HELLO)) == [Message("/loopmeter/hello", ("a",), 77)] * 2


def test_an_inner_bundle_never_runs_before_the_outer_one() -> None:
    assert decode_datagram(bundle(500, bundle(IMMEDIATELY, HELLO), bundle(900, HELLO))) == [
        Message("/loopmeter/hello", ("a",), 500),
        Message("/loopmeter/hello", ("a",), 900),
    ]


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", "starts with '/'"),
        (b"hello there\0", "starts with '/'"),
        (b"/a\0\0,i\0\0\0\0", "multiple of 4"),
        (b"/a\0\0,i\0\0", "types 'i'"),
        (b"/a\0\0,f\0\0\1\2\3", "multiple of 4"),
        (b"/\xff\xfe\0,\0\0\0", "found other bytes"),
        (b"#bundle\0", "at least 16 bytes"),
        (bundle(1) + b"\0\0", "size of a bundle element"),
        (bundle(1) + struct.pack(">i", -4), "found 4294967292"),
        (bundle(1) + struct.pack(">i", 0), "found 0"),
        (bundle(1) + struct.pack(">i", 64) + HELLO, "found 64"),
        (bundle(1, *[HELLO] * (ELEMENTS_MAX + 1)), f"at most {ELEMENTS_MAX} messages"),
    ],
    ids=[
        "empty",
        "text",
        "odd size",
        "argument missing",
        "number cut",
        "not UTF-8",
        "bundle cut in its head",
        "bundle cut in a size",
        "negative size, which loops for ever elsewhere",
        "size zero",
        "size beyond the end",
        "too many elements",
    ],
)
def test_what_is_not_osc_is_one_unreadable(datagram: bytes, reason: str) -> None:
    (found,) = decode_datagram(datagram)
    assert isinstance(found, Unreadable)
    assert reason in found.reason


def test_bundles_nest_only_so_deep() -> None:
    datagram = HELLO
    for _ in range(BUNDLE_DEPTH_MAX):
        datagram = bundle(1, datagram)
    assert isinstance(decode_datagram(datagram)[0], Message)
    assert isinstance(decode_datagram(bundle(1, datagram))[0], Unreadable)


@pytest.mark.parametrize("tags", ["sI", "sS", "sc", "sII"])
def test_an_unknown_type_is_named_and_the_id_is_still_told(tags: str) -> None:
    head = f",{tags}".encode()
    datagram = b"/loopmeter/loop\0" + head + b"\0" * (4 - len(head) % 4) + b"id7\0" + b"x\0\0\0"
    (found,) = decode_datagram(datagram)
    assert isinstance(found, Unreadable)
    assert (found.address, found.first) == ("/loopmeter/loop", "id7")
    assert f"type {tags[1]!r}" in found.reason


def test_the_id_is_told_when_a_later_argument_is_cut_off() -> None:
    assert decode_datagram(b"/a\0\0,sif\0\0\0\0id7\0\0\0\0\x01")[0].first == "id7"  # type: ignore[union-attr]


def test_a_broken_element_leaves_its_neighbours_alone() -> None:
    first, broken, last = decode_datagram(bundle(1, HELLO, b"/a\0\0,I\0\0", HELLO))
    assert isinstance(broken, Unreadable)
    assert first == last == Message("/loopmeter/hello", ("a",))


@settings(max_examples=400, deadline=1000)
@given(st.one_of(st.binary(max_size=200), st.binary(max_size=120).map(lambda tail: HELLO + tail)))
def test_any_bytes_decode_to_something(datagram: bytes) -> None:
    assert decode_datagram(datagram)


@settings(max_examples=400, deadline=1000)
@given(st.data())
def test_a_damaged_bundle_decodes_to_something(data: st.DataObject) -> None:
    datagram = bytearray(bundle(5, HELLO, bundle(9, HELLO), encode_message("/x", "sif", ["id", 1, 2.5])))
    for _ in range(data.draw(st.integers(1, 4))):
        datagram[data.draw(st.integers(0, len(datagram) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(datagram)))
    assert all(isinstance(element, Message | Unreadable) for element in decode_datagram(bytes(datagram[:cut])))
