"""The player with real threads and sources, the mixer, and the outputs on the drivers of a machine without speakers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sdk.adaptive_sounds import LateExecutor, steady

from loopmeter import LoopRequest, adaptive
from loopmeter.adaptive import (
    AdaptivePlayer,
    Arrangement,
    ChangeDropped,
    Conductor,
    GatewaySource,
    Layer,
    PackSource,
    RecordingOutput,
    Section,
    SectionStarted,
    Sound,
    Stinger,
    StingerStarted,
    Take,
    mix,
)
from loopmeter.bake import Pack, bake, parse_music, plan_bake
from loopmeter.testing import FakeGateway

RATE_HZ = 44_100
ARRANGEMENT = Arrangement(
    (
        Section("explore", bars=1, layers=(Layer("pad"), Layer("drums", enters=0.3, full=0.9)), leads_to=("battle",)),
        Section("battle", bars=2),
    ),
    (Stinger("hit", duck=0.4),),
)
CHANCE = np.random.default_rng(1)
SOUNDS = {
    Take("explore"): Sound(
        {name: CHANCE.uniform(-0.3, 0.3, (4000, 1)).astype(np.float32) for name in ("pad", "drums")}, RATE_HZ
    ),
    Take("battle"): Sound({"all": CHANCE.uniform(-0.3, 0.3, (6001, 2)).astype(np.float32)}, RATE_HZ),
    Take("hit"): Sound({"all": CHANCE.uniform(-0.3, 0.3, (1500, 1)).astype(np.float32)}, RATE_HZ),
}


class Shelf:
    """A source of the sounds above, or of others; ``broken`` takes fail."""

    def __init__(self, sounds: dict[Take, Sound], broken: set[str] | None = None) -> None:
        self.sounds = sounds
        self.broken = broken or set()
        self.calls: list[Take] = []

    def load(self, take: Take) -> Sound:
        self.calls.append(take)
        if take.name in self.broken:
            raise ConnectionError("no answer")
        return self.sounds[take]


def play_through(commands: list[tuple[int, str, float]], cuts: list[int]) -> np.ndarray:
    """What is heard of 30,000 frames with commands at certain frames, asked for in blocks that end at the cuts."""
    conductor = Conductor(ARRANGEMENT, sample_rate_hz=RATE_HZ)
    for take, sound in SOUNDS.items():
        conductor.loaded(take, sound.frames)
    blocks = []
    stops = sorted({*cuts, *(frame for frame, _, _ in commands), 30_000})
    for stop in stops:
        if stop > conductor.frame:
            blocks.append(mix(conductor.advance(stop - conductor.frame), SOUNDS, 2))
        for frame, what, number in commands:
            if frame == stop:
                obey(conductor, what, number)
    return np.concatenate(blocks)


def obey(conductor: Conductor, what: str, number: float) -> None:
    if what == "intensity":
        conductor.set_intensity(number)
    elif what == "hit":
        conductor.sting("hit", "beat")
    else:
        conductor.go_to(what, "beat" if number < 0.5 else "bar")


@settings(deadline=None, max_examples=40)
@given(
    commands=st.lists(
        st.tuples(st.integers(1, 29_000), st.sampled_from(["explore", "battle", "hit", "intensity"]), st.floats(0, 1)),
        max_size=8,
    ),
    cuts=st.lists(st.integers(1, 29_999), max_size=30),
)
def test_the_sound_is_the_same_bit_for_bit_however_it_is_cut_into_blocks(
    commands: list[tuple[int, str, float]], cuts: list[int]
) -> None:
    whole = play_through(commands, [])

    assert np.array_equal(play_through(commands, cuts), whole)


def test_a_loop_repeats_sample_by_sample() -> None:
    heard = play_through([], [])

    pad = SOUNDS[Take("explore")].layers["pad"]
    assert np.array_equal(heard[:, 0], np.tile(pad[:, 0], 8)[:30_000])
    assert np.array_equal(heard[:, 0], heard[:, 1])


def test_a_sum_above_full_scale_is_held_there() -> None:
    arrangement = Arrangement((Section("loud", bars=1, layers=(Layer("a"), Layer("b"))),))
    conductor = Conductor(arrangement)
    conductor.loaded(Take("loud"), 100)
    sound = steady(100, {"a": 0.9, "b": 0.9}, RATE_HZ)

    assert mix(conductor.advance(10), {Take("loud"): sound}, 1).max() == 1.0


def test_a_player_loads_ahead_and_changes_on_time() -> None:
    output = RecordingOutput()
    source = Shelf(SOUNDS)
    with AdaptivePlayer(ARRANGEMENT, source, output) as player:
        assert player.wait_until_loaded("battle", "hit")
        output.advance(100)
        player.go_to("battle", stinger="hit")
        output.advance(10_000)
        events = player.poll()

    assert [(type(event), event.frame) for event in events] == [
        (SectionStarted, 0),
        (SectionStarted, 4000),
        (StingerStarted, 4000),
    ]
    assert output.sound().shape == (10_100, 2)
    assert np.abs(output.sound()).max(axis=1).all()


def manual_player(source: Shelf, output: RecordingOutput | None = None) -> tuple[AdaptivePlayer, LateExecutor]:
    loader = LateExecutor(lambda: 0.0)
    player = AdaptivePlayer(
        ARRANGEMENT, source, output or RecordingOutput(), loader=loader, retry_s=5, now=lambda: loader.now_s
    )
    player.start()
    return player, loader


def test_a_take_that_failed_is_asked_for_again_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    source = Shelf(SOUNDS, broken={"battle"})
    player, loader = manual_player(source)
    loader.run_due()
    player.go_to("battle")
    loader.run_due()
    player.poll()
    assert source.calls.count(Take("battle")) == 1
    assert "battle" in caplog.text and "no answer" in caplog.text
    source.broken.clear()
    loader.now_s = 6.0
    player.poll()
    loader.run_due()

    assert source.calls.count(Take("battle")) == 2
    assert Take("battle") in player._sounds


def test_a_change_whose_loop_cannot_be_had_is_dropped_and_the_music_goes_on() -> None:
    output = RecordingOutput()
    source = Shelf(SOUNDS, broken={"battle"})
    player, loader = manual_player(source, output)
    player.go_to("explore")
    loader.now_s = 10.0
    loader.run_due()
    output.advance(10)
    loader.now_s = 20.0
    player.go_to("battle")
    loader.run_due()
    output.advance(9000)

    assert any(isinstance(event, ChangeDropped) and event.reason == "no answer" for event in player.poll())
    assert np.abs(output.sound()).max(axis=1).all()


@pytest.mark.parametrize(
    ("sound", "message"),
    [
        (steady(4000, {"pad": 0.1, "drums": 0.1}, 48_000), "expected sound at the output's 44100 Hz, found 48000 Hz"),
        (steady(4000, {"pad": 0.1}, RATE_HZ), "expected the layers ['drums', 'pad'], found ['pad']"),
        (steady(3, {"pad": 0.1, "drums": 0.1}, RATE_HZ), "expected at least 4 frames"),
    ],
    ids=["rate", "layers", "length"],
)
def test_a_sound_that_does_not_fit_is_refused_and_said(
    sound: Sound, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    player, loader = manual_player(Shelf({**SOUNDS, Take("explore"): sound}))
    loader.run_due()

    assert message in caplog.text
    assert not player.wait_until_loaded(timeout_s=0)
    with pytest.raises(ValueError, match="expected some of battle, explore, hit, found 'boss'"):
        player.wait_until_loaded("boss")


def test_layers_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="expected layers of one length"):
        Sound({"a": np.zeros((1, 1), np.float32), "b": np.zeros((2, 1), np.float32)}, RATE_HZ)


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    music = parse_music(
        {
            "pack": {"name": "dungeon"},
            "defaults": {"tempo_bpm": 120, "bars": 1},
            "loop": [
                {"name": "explore", "prompt": "calm", "stems": {"pad": 0.0, "drums": 0.5}},
                {"name": "battle", "prompt": "fierce"},
                {"name": "battle-2", "prompt": "fierce", "seed": 1},
            ],
            "stinger": [{"name": "hit", "prompt": "hit"}],
        },
        tmp_path,
    )
    with FakeGateway().client() as client:
        return bake(client, plan_bake(client, music, tmp_path / "pack"))


def test_a_pack_plays_without_a_gateway(pack: Pack) -> None:
    output = RecordingOutput()
    arrangement = Arrangement.from_pack(pack, start="battle")
    with AdaptivePlayer(arrangement, PackSource(pack), output, intensity=0.6) as player:
        assert player.wait_until_loaded("explore")
        output.advance(4410)
        player.go_to("explore", "beat")
        output.advance(44_100)
        events = player.poll()

    assert [event.frame for event in events if isinstance(event, SectionStarted)] == [0, 22_050]
    explore = next(loop for loop in arrangement.sections if loop.name == "explore")
    assert [(layer.name, layer.enters) for layer in explore.layers] == [("drums", 0.5), ("pad", 0.0)]
    assert np.array_equal(output.sound()[:4410, 0], PackSource(pack).load(Take("battle")).layers["all"][:4410, 0])
    assert PackSource(pack).load(Take("battle", 1)).frames == 88_200


def test_loops_on_demand_have_a_seed_for_each_take_and_one_request_for_each_stem() -> None:
    gateway = FakeGateway()
    requests = {
        "explore": LoopRequest(prompt="calm", tempo_bpm=120, bars=1, seed=7),
        "battle": LoopRequest(prompt="fierce", tempo_bpm=120, bars=1),
    }
    with gateway.client() as client:
        source = GatewaySource(client, requests, {"explore": ("pad", "drums")})
        stems, whole = source.load(Take("explore", 2)), source.load(Take("battle"))
        with pytest.raises(ValueError, match=r"expected layers among .*, found 'flute'"):
            GatewaySource(client, requests, {"explore": ("flute",)})  # type: ignore[arg-type]

    assert set(stems.layers) == {"pad", "drums"} and set(whole.layers) == {"all"}
    assert [(job.request.seed, job.request.layers) for job in gateway.jobs] == [
        (9, ("pad",)),
        (9, ("drums",)),
        (0, None),
    ]


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        ("sys.modules['sounddevice'] = None", "needs sounddevice; install it with: pip install 'loopmeter[play]'"),
        ("import ctypes.util; ctypes.util.find_library = lambda name: None", "apt-get install libportaudio2"),
    ],
    ids=["no sounddevice", "no PortAudio"],
)
def test_an_output_without_its_library_says_what_to_install(setup: str, message: str) -> None:
    code = f"import sys; {setup}\nfrom loopmeter.adaptive import SounddeviceOutput\nSounddeviceOutput().start(None)"

    assert message in subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr


def test_the_conductor_needs_no_numpy() -> None:
    code = "import sys; sys.modules['numpy'] = None; from loopmeter.adaptive import Conductor, AdaptivePlayer"

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert "AdaptivePlayer needs numpy; install it with: pip install 'loopmeter[play]'" in result.stderr


def test_every_exported_name_exists() -> None:
    for name in adaptive.__all__:
        assert getattr(adaptive, name) is not None
    with pytest.raises(AttributeError):
        _ = adaptive.nothing  # type: ignore[attr-defined]


RAMP = """
import threading
import numpy as np
{setup}
count, done = 0, threading.Event()
def render(frames):
    global count
    values = (np.arange(count, count + frames) % 1000 + 1) / 2000
    count += frames
    if count > 30_000:
        done.set()
    return np.stack([values, -values], axis=1).astype(np.float32)
output.start(render)
assert done.wait(30)
output.close()
asked = count
output.close()
assert count == asked
"""


def heard_ramp(samples: np.ndarray, full_scale: float) -> np.ndarray:
    """What the driver wrote, without silence, as the numbers that were rendered."""
    samples = samples[: len(samples) // 2 * 2].reshape(-1, 2)
    assert np.array_equal(samples[:, 0], -samples[:, 1])
    numbers = np.rint(samples[:, 0] / full_scale * 2000).astype(int)
    return numbers[numbers != 0]


def test_pygame_plays_every_sample_once_and_in_order(tmp_path: Path) -> None:
    """SDL's own driver for tests writes what would be heard into a file, at the pace of a device."""
    file = tmp_path / "heard.raw"
    setup = "from loopmeter.adaptive import PygameOutput; output = PygameOutput()"
    environment = {**os.environ, "SDL_AUDIODRIVER": "disk", "SDL_DISKAUDIOFILE": str(file)}
    subprocess.run([sys.executable, "-c", RAMP.format(setup=setup)], env=environment, check=True, timeout=60)
    heard = heard_ramp(np.fromfile(file, np.int16), 32767)

    assert len(heard) > 15_000
    assert np.array_equal(heard, np.arange(len(heard)) % 1000 + 1)


def test_pygame_refuses_a_mixer_of_another_format() -> None:
    code = (
        "import pygame; pygame.mixer.init(size=32, allowedchanges=0); from loopmeter.adaptive import PygameOutput\n"
        "try: PygameOutput()\nexcept ValueError as error: print(error)"
    )
    environment = {**os.environ, "SDL_AUDIODRIVER": "dummy"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)

    assert "expected a mixer of signed 16 bit, found -32; call pygame.mixer.pre_init(size=-16)" in result.stdout


def test_portaudio_plays_every_sample_once_and_in_order(tmp_path: Path) -> None:
    """ALSA's plug-in "file" writes what would be heard; PortAudio and ALSA are the real ones."""
    if subprocess.run([sys.executable, "-c", "import sounddevice"], capture_output=True).returncode != 0:
        pytest.skip("PortAudio is not installed (Debian: apt-get install libportaudio2)")
    file = tmp_path / "heard.raw"
    config = tmp_path / "asound.conf"
    config.write_text(
        f'pcm.!default {{ type file slave.pcm "null" file "{file}" format "raw" }}\n'
        "pcm.null { type null }\nctl.!default { type null }\n"
    )
    setup = "from loopmeter.adaptive import SounddeviceOutput; output = SounddeviceOutput()"
    environment = {**os.environ, "ALSA_CONFIG_PATH": str(config)}
    subprocess.run([sys.executable, "-c", RAMP.format(setup=setup)], env=environment, check=True, timeout=60)
    heard = heard_ramp(np.fromfile(file, np.float32), 1.0)

    assert len(heard) > 5_000
    assert np.array_equal(heard, np.arange(len(heard)) % 1000 + 1)
