"""The class of integrations/supercollider in a real sclang, without a window."""

from __future__ import annotations

from pathlib import Path

from tests.integrations.hosts.studio import ADDONS, Studio, check_conversation, needs, run_host

pytestmark = needs("sclang")
FOLDER = ADDONS / "supercollider"


def test_supercollider_quotes_makes_cancels_and_hears_its_mistake(studio: Studio, tmp_path: Path) -> None:
    config = tmp_path / "sclang.yaml"
    config.write_text(f"includePaths:\n  - {FOLDER}\nexcludePaths: []\npostInlineWarnings: true\n")
    lines = run_host(
        *("sclang", "-D", "-l", str(config), str(Path(__file__).with_name("conversation.scd"))),
        cwd=tmp_path,
        BRIDGE_PORT=str(studio.port),
        HOME=str(tmp_path),
        XDG_RUNTIME_DIR=str(tmp_path),
        QT_QPA_PLATFORM="offscreen",
        QTWEBENGINE_DISABLE_SANDBOX="1",
        QTWEBENGINE_CHROMIUM_FLAGS="--no-sandbox",
    )
    assert [line for line in lines if line.startswith(("ERROR", "WARNING"))] == []
    check_conversation(studio, [line.removeprefix("heard: ") for line in lines if line.startswith("heard: ")])
