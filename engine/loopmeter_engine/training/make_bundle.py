"""Make the bundle of recorded instruments that the training material may be played with, once and on any machine.

    apt-get install fluid-soundfont-gm && npm pack supersonic-scsynth-samples@0.84.2
    python -m loopmeter_engine.training.make_bundle .cache/bundle --one-shots supersonic-scsynth-samples-0.84.2.tgz

The bundle is made from MIT and CC0 sources only (``bundle_sources.py``), is kept out of the repository and stays under
40 MB. Making it needs soundfile; using it needs numpy alone. What sounds is kept: the programmes listed, one velocity
of each (our own velocity does the rest), one channel, the keys that our layers play, four seconds at most.

Reading order: ``Making``, ``pick_zones``, ``main``.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.signal
import soundfile
from numpy.typing import NDArray

from loopmeter import Layer
from loopmeter_engine.planner.accompany import RANGES
from loopmeter_engine.planner.general_midi import PITCH_OF_DRUM
from loopmeter_engine.training.bundle_sources import CONTENTS, FLUID, SONIC_PI, Contents, Source
from loopmeter_engine.training.synth.bundle import VERSION, Bundle, pack
from loopmeter_engine.training.synth.calibrate import loudness_of, reference
from loopmeter_engine.training.synth.levels import FAMILY_LOUDNESS
from loopmeter_engine.training.synth.sampled import Choice, of_kit
from loopmeter_engine.training.synth.soundfont import Envelope, SoundFont, Zone

Pcm = NDArray[np.int16]
SIZE_MAX_BYTES = 40_000_000
FLUID_PATH = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
ONE_SHOTS_PATH = Path("/usr/share/sonic-pi/samples")
_VELOCITY = 100
_LONGEST_S = 4.0
_ONE_SHOT_S = 3.0
_ONE_SHOT_RATE_HZ = 44_100
_EFFECT_RMS = {"impact": 0.35, "sweep": 0.2, "vinyl": 0.03}  # Of the loudest quarter of a second.
_JOIN_FRAMES = 4410
_KEYS_BEYOND = 6  # Beyond what a layer usually plays, a key's neighbour stands in.
_KIT_DRAWS = 9  # Of a kit's alternatives, to find how loud it is.
_PLAIN = dataclasses.asdict(Envelope())


class Making:
    """A bundle that grows: recordings are kept once, however many patches use them."""

    def __init__(self) -> None:
        self.pcm: list[Pcm] = []
        self.manifest: dict[str, Any] = {
            "version": VERSION, "sources": [dataclasses.asdict(source) for source in (FLUID, SONIC_PI)],
            "samples": [], "patches": [], "kits": [],
        }  # fmt: skip
        self._known: dict[tuple[str, str], int] = {}

    def keep(
        self, source: Source, name: str, rate_hz: int, loop: tuple[int, int] | None, read: Callable[[], Pcm]
    ) -> int:
        """The number of a recording, which is read if it is new."""
        key = (source.name, f"{name} {loop}")
        if key not in self._known:
            self._known[key] = len(self.pcm)
            self.pcm.append(read())
            entry = {"name": name, "source": source.name, "licence": source.licence, "rate_hz": rate_hz, "loop": loop}
            self.manifest["samples"].append(entry)
        return self._known[key]

    def write(self, folder: Path) -> int:
        """Both files; gives their size in bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        packed = {str(number): pack(pcm) for number, pcm in enumerate(self.pcm)}
        np.savez_compressed(folder / "samples.npz", **packed)  # type: ignore[arg-type]  # savez takes any names.
        (folder / "manifest.json").write_text(json.dumps(self.manifest, indent=1))
        return sum(path.stat().st_size for path in folder.iterdir())


def pick_zones(zones: Iterable[Zone], low: int, high: int) -> list[Zone]:
    """The zones of one velocity that serve keys from ``low`` to ``high``, and of a stereo pair the left one alone."""
    played = [zone for zone in zones if zone.sounds(max(low, min(high, zone.keys[0])), _VELOCITY)]
    left = {zone.keys for zone in played if zone.pan < -0.5}
    return [
        dataclasses.replace(zone, pan=0.0) if zone.keys in left and zone.pan < -0.5 else zone
        for zone in played
        if not (zone.pan > 0.5 and zone.keys in left)
    ]


def region(making: Making, font: SoundFont, zone: Zone) -> dict[str, Any]:
    """A zone of the soundfont as the manifest has it, its recording kept."""
    sample = font.samples[zone.sample]
    loop = None if zone.loop is None else (zone.loop[0] - zone.start, zone.loop[1] - zone.start)
    longest = round(_LONGEST_S * sample.rate_hz)
    if loop is not None and loop[1] > longest:
        loop = None  # It would begin after the cut; the end fades out instead.
    frames = min(zone.end - zone.start, longest if loop is None else loop[1] + 8)

    def read() -> Pcm:
        pcm = np.array(font.pcm[zone.start : zone.start + frames], np.float64)
        if loop is None:
            fade = min(len(pcm), sample.rate_hz // 2 if len(pcm) == longest else sample.rate_hz // 200)
            pcm[-fade:] *= np.linspace(1.0, 0.0, fade) ** 2
        return pcm.round().astype(np.int16)

    number = making.keep(FLUID, f"{sample.name} {zone.start}", sample.rate_hz, loop, read)
    shared = ("root", "tuning", "scale", "gain", "pan", "cutoff_hz", "resonance_db", "keys")
    values = {name: getattr(zone, name) for name in shared}
    return {"sample": number, "envelope": dataclasses.asdict(zone.envelope), **values}


def one_shot(making: Making, name: str, data: bytes, kind: str) -> dict[str, Any]:
    """A recorded file as a region of one key. Effects are as loud as the synthesiser's; a hiss goes round."""
    pcm = _mono(data)
    loop = None
    if kind == "vinyl":
        fade = np.linspace(0.0, 1.0, _JOIN_FRAMES)
        pcm[:_JOIN_FRAMES] = pcm[:_JOIN_FRAMES] * fade**0.5 + pcm[-_JOIN_FRAMES:] * (1 - fade) ** 0.5
        pcm = pcm[:-_JOIN_FRAMES]
        loop = (0, len(pcm))
    window = min(len(pcm), _ONE_SHOT_RATE_HZ // 4)
    power = np.convolve(pcm**2, np.full(window, 1 / window), "valid").max()
    gain = _EFFECT_RMS[kind] / float(np.sqrt(power)) if kind in _EFFECT_RMS else 1.0
    whole = (pcm * 32_000).round().astype(np.int16)
    return {
        "sample": making.keep(SONIC_PI, name, _ONE_SHOT_RATE_HZ, loop, lambda: whole), "keys": (60, 60), "root": 60,
        "tuning": 0.0, "scale": 1.0, "gain": gain, "pan": 0.0, "envelope": _PLAIN, "cutoff_hz": 20_000.0,
        "resonance_db": 0.0,
    }  # fmt: skip


def _mono(data: bytes) -> NDArray[np.float64]:
    """A sound file at 44.1 kHz, three seconds at most, with a peak of 1 and a soft end."""
    pcm, rate_hz = soundfile.read(io.BytesIO(data), always_2d=True)
    mono: NDArray[np.float64] = pcm.mean(1)
    if rate_hz != _ONE_SHOT_RATE_HZ:
        mono = scipy.signal.resample_poly(mono, _ONE_SHOT_RATE_HZ, rate_hz)
    mono = mono[: round(_ONE_SHOT_S * _ONE_SHOT_RATE_HZ)]
    mono[-441:] *= np.linspace(1.0, 0.0, 441)[-len(mono) :]
    return mono / max(float(np.abs(mono).max()), 1e-9)


def add_patches(making: Making, font: SoundFont, contents: Contents = CONTENTS) -> None:
    for (layer, family), (programs, held_out) in contents.patches.items():
        low, high = RANGES[layer]
        for program in [*programs, *held_out]:
            zones = pick_zones(font.zones(*program), low - _KEYS_BEYOND, high + _KEYS_BEYOND)
            making.manifest["patches"].append({
                "layer": layer, "family": family, "name": f"{FLUID.name}: {font.names[program]}", "gain": 1.0,
                "held_out": program in held_out, "regions": [region(making, font, zone) for zone in zones],
            })  # fmt: skip


def add_kits(making: Making, font: SoundFont, files: dict[str, bytes], contents: Contents = CONTENTS) -> None:
    for family, programs in contents.kits.items():
        for program in programs:
            alternatives = {}
            for drum, key in PITCH_OF_DRUM.items():
                zones = [z for z in pick_zones(font.zones(128, program), key, key) if z.keys[0] <= key <= z.keys[1]]
                if zones:
                    alternatives[drum] = [[{**region(making, font, zone), "keys": (key, key)} for zone in zones]]
            name = f"{FLUID.name}: {font.names[128, program]}"
            _add_kit(making, "drums", family, name, False, alternatives)
    listed: list[tuple[Layer, str, dict[str, str]]] = [
        *(("drums", family, drums) for family, drums in contents.one_shots.items()), ("fx", "texture", contents.effects)
    ]  # fmt: skip
    for layer, family, names in listed:
        for held_out in (False, True):
            here = {name: data for name, data in files.items() if (name in contents.held_out) == held_out}
            _add_one_shots(making, layer, family, names, here, held_out)


def _add_one_shots(
    making: Making, layer: Layer, family: str, names: dict[str, str], files: dict[str, bytes], held_out: bool
) -> None:
    alternatives = {
        kind: [[one_shot(making, name, files[name], kind)] for name in listed.split() if name in files]
        for kind, listed in names.items()
    }
    found = {kind: alternative for kind, alternative in alternatives.items() if alternative}
    if found:
        _add_kit(making, layer, family, f"{SONIC_PI.name}: {family}", held_out, found)


def _add_kit(
    making: Making, layer: Layer, family: str, name: str, held_out: bool, alternatives: dict[str, list[Any]]
) -> None:
    making.manifest["kits"].append(
        {
            "layer": layer,
            "family": family,
            "name": name,
            "gain": 1.0,
            "held_out": held_out,
            "alternatives": alternatives,
        }
    )


def shared_recordings(manifest: dict[str, Any]) -> list[str]:
    """Names of recordings that are both trained on and held out. There must be none."""
    used: dict[bool, set[int]] = {False: set(), True: set()}
    for entry in manifest["patches"]:
        used[entry["held_out"]] |= {region["sample"] for region in entry["regions"]}
    for entry in manifest["kits"]:
        found = [region for alternatives in entry["alternatives"].values() for one in alternatives for region in one]
        used[entry["held_out"]] |= {region["sample"] for region in found}
    return [manifest["samples"][number]["name"] for number in sorted(used[False] & used[True])]


def calibrate(making: Making, folder: Path) -> None:
    """Bring every patch and kit to the loudness of its family's synthesiser, as ``calibrate.gains`` does for those."""
    bundle, rng = Bundle(folder), np.random.default_rng(0)
    found: dict[tuple[str, str, bool, str], float] = {}
    for (layer, family, held_out), patches in bundle.patches.items():
        for patch in patches:
            found[layer, family, held_out, patch.name] = _gain(layer, family, [Choice(1.0, patch=patch)])
    for (layer, family, held_out), kits in bundle.kits.items():
        for kit in kits if layer == "drums" else []:
            draws = [of_kit(kit, "drums", rng) for _ in range(_KIT_DRAWS)]
            found[layer, family, held_out, kit.name] = _gain(layer, family, draws)
    for entry in [*making.manifest["patches"], *making.manifest["kits"]]:
        key = (entry["layer"], entry["family"], entry["held_out"], entry["name"])
        entry["gain"] = found.get(key, entry["gain"])


def _gain(layer: Any, family: str, choices: list[Choice]) -> float:
    level = float(np.median([loudness_of(reference(layer, family), layer, choice) for choice in choices]))
    return round(float(10.0 ** ((FAMILY_LOUDNESS[layer] - level) / 20.0)), 4)


def read_one_shots(path: Path) -> dict[str, bytes]:
    """Sound files by name without ending, from a folder or from a package of npm (.tgz); loops are left out."""
    if path.is_dir():
        found = {file.stem: file.read_bytes() for file in sorted(path.glob("*.flac"))}
    else:
        with tarfile.open(path, "r:gz") as tar:
            members = [m for m in tar.getmembers() if m.isfile() and m.name.endswith(".flac")]
            parts = [(Path(m.name).stem, tar.extractfile(m)) for m in members]
            found = {name: file.read() for name, file in parts if file is not None}
    return {name: data for name, data in found.items() if not name.startswith("loop_")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--soundfont", type=Path, default=FLUID_PATH, help="FluidR3_GM.sf2")
    parser.add_argument(
        "--one-shots", type=Path, default=ONE_SHOTS_PATH, help="folder of FLAC files, or the npm package"
    )
    args = parser.parse_args()
    for path in (args.soundfont, args.one_shots):
        if not path.exists():
            parser.error(
                f"expected {path}, found nothing; install fluid-soundfont-gm and sonic-pi-samples, or say where"
            )
    font, making = SoundFont(args.soundfont), Making()
    add_patches(making, font)
    add_kits(making, font, read_one_shots(args.one_shots))
    if shared := shared_recordings(making.manifest):
        parser.exit(1, f"expected nothing held out to be trained on, found {', '.join(shared)}\n")
    making.write(args.out)
    calibrate(making, args.out)
    size = making.write(args.out)
    print(f"{args.out}: {len(making.pcm)} samples, {size / 1e6:.1f} MB")
    if size > SIZE_MAX_BYTES:
        parser.exit(1, f"expected at most {SIZE_MAX_BYTES / 1e6:.0f} MB, found {size / 1e6:.1f}: shorten the lists\n")


if __name__ == "__main__":
    main()
