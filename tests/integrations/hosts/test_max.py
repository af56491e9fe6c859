"""The Max patch: its wires lead somewhere, and what its messages say is understood by a real bridge. Max is not run."""

from __future__ import annotations

import json
import shlex
import socket
from typing import Any

import pytest
from tests.integrations.hosts.studio import ADDONS, Studio

from loopmeter_integrations.osc._addresses import REPLIES
from loopmeter_integrations.osc._codec import Message, decode_datagram, encode_message

PATCHER = json.loads((ADDONS / "max" / "loopmeter.maxpat").read_text())["patcher"]
BOXES: dict[str, dict[str, Any]] = {entry["box"]["id"]: entry["box"] for entry in PATCHER["boxes"]}
MESSAGES = [box["text"] for box in BOXES.values() if box["maxclass"] == "message" and box["text"].startswith("/")]


def test_every_wire_joins_an_outlet_and_an_inlet_that_are_there() -> None:
    for line in PATCHER["lines"]:
        (source, outlet), (destination, inlet) = line["patchline"]["source"], line["patchline"]["destination"]
        assert outlet < BOXES[source]["numoutlets"], line
        assert inlet < BOXES[destination]["numinlets"], line


def test_the_patch_routes_addresses_that_the_bridge_answers_with() -> None:
    (route,) = [box["text"] for box in BOXES.values() if box.get("text", "").startswith("route ")]
    assert set(route.split()[1:]) <= REPLIES.keys()


@pytest.mark.parametrize("text", MESSAGES, ids=lambda text: text.split()[0])
def test_every_message_is_understood_by_the_bridge(studio: Studio, text: str) -> None:
    """As Max sends it: a number with a point is a float, one without an int."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(20)
        address, *words = shlex.split(text.replace("9132", str(peer.getsockname()[1])))
        values = [_atom(word) for word in words]
        types = "".join("s" if isinstance(v, str) else "i" if isinstance(v, int) else "f" for v in values)
        peer.sendto(encode_message(address, types, values), ("127.0.0.1", studio.port))
        (answer,) = decode_datagram(peer.recv(65_535))
    assert isinstance(answer, Message)
    if address == "/loopmeter/cancel":  # Nothing runs under this id now.
        assert answer.arguments[:2] == ("take1", "unknown_id")
    else:
        assert answer.address != "/loopmeter/error", answer


def _atom(word: str) -> str | int | float:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word
