"""The class of integrations/chuck in a real ChucK, without sound."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.integrations.hosts.studio import ADDONS, Studio, check_conversation, needs, run_host

pytestmark = needs("chuck")


def test_chuck_quotes_makes_cancels_and_hears_its_mistake(studio: Studio) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        own_port = probe.getsockname()[1]
    conversation = Path(__file__).with_name("conversation.ck")
    lines = run_host(
        *("chuck", "--silent", str(ADDONS / "chuck" / "loopmeter.ck"), f"{conversation}:{studio.port}:{own_port}")
    )
    check_conversation(studio, [line.removeprefix("heard: ") for line in lines if line.startswith("heard: ")])
