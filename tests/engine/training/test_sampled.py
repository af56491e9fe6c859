"""Recorded instruments beside the synthesisers: bundled, kept apart for testing, played like the others."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from tests.engine.training.soundfont_file import write_soundfont

from loopmeter import Layer
from loopmeter_engine.planner.variety import training_score
from loopmeter_engine.score import FxEvent, Hit, Note, Score, Timbre
from loopmeter_engine.training.bundle_sources import CONTENTS, Contents
from loopmeter_engine.training.corpus import HELDOUT_SEEDS, render_worker
from loopmeter_engine.training.make_bundle import Making, add_kits, add_patches, calibrate, shared_recordings
from loopmeter_engine.training.synth import SAMPLE_RATE_HZ, render_stems
from loopmeter_engine.training.synth.bundle import Bundle, BundleUnusable
from loopmeter_engine.training.synth.calibrate import loudness_of, reference
from loopmeter_engine.training.synth.levels import FAMILY_LOUDNESS
from loopmeter_engine.training.synth.sampled import SAMPLED_SHARE, Choice, choose, effect, of_kit
from loopmeter_engine.training.synth.soundfont import SoundFont
from loopmeter_engine.training.synth.tape import play_on_tape

SEEDS = range(200)
SMALL = Contents(
    patches={("lead", "saw"): (((0, 0),), ()), ("pad", "warm"): (((0, 1),), ())},
    kits={},
    one_shots={"tr909": {"kick": "boom thud", "snare": "crack clap"}},
    effects={"impact": "crash", "vinyl": "hiss"},
    held_out=frozenset({"thud", "clap", "hiss"}),
)


def flac(seed: int, decay_s: float, low: bool) -> bytes:
    """A decaying tone or noise, 30 ms late, stereo."""
    rng, time = np.random.default_rng(seed), np.arange(SAMPLE_RATE_HZ // 2) / SAMPLE_RATE_HZ
    sound = np.sin(2 * np.pi * 60 * time) if low else rng.standard_normal(len(time)) * 0.2
    late = np.concatenate([np.zeros(1323), sound * np.exp(-time / decay_s)])
    file = io.BytesIO()
    soundfile.write(file, np.stack([late, 0.5 * late], 1), SAMPLE_RATE_HZ, format="FLAC")
    return file.getvalue()


@pytest.fixture(scope="module")
def making(tmp_path_factory: pytest.TempPathFactory) -> Making:
    font = SoundFont(write_soundfont(tmp_path_factory.mktemp("sf2") / "tiny.sf2"))
    names = ("boom", "thud", "crack", "clap", "crash", "hiss")
    files = {name: flac(n, 0.1 + 0.01 * n, name in ("boom", "thud")) for n, name in enumerate(names)}
    made = Making()
    add_patches(made, font, SMALL)
    add_kits(made, font, files, SMALL)
    return made


@pytest.fixture(scope="module")
def folder(making: Making, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    making.write(folder)
    calibrate(making, folder)
    making.write(folder)
    return folder


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    return Bundle(folder)


def score_of(layer: Layer, family: str, **macros: float) -> Score:
    """Two bars at 120: a note over the end, two hits, an impact."""
    return Score(
        120.0, 4, 2, 9, "minor", "pop", "warm", 0.0, (), (Note(layer, 7.0, 2.0, 69, 0.8),),
        (Hit("kick", 1.0, 0.9), Hit("snare", 2.0, 0.9)), (FxEvent("impact", 1.0, 2.0, 0.8),),
        {layer: Timbre(family, **macros)},
    )  # fmt: skip


def sampled_seed(bundle: Bundle, layer: Layer, family: str, *, held_out: bool = False) -> int:
    return next(seed for seed in SEEDS if choose(bundle, layer, family, seed, held_out=held_out))


def stem(bundle: Bundle, layer: Layer, family: str, **macros: float) -> NDArray[np.float32]:
    seed = sampled_seed(bundle, layer, family)
    return render_stems(score_of(layer, family, **macros), seed, bundle)[layer]


def power_db(sound: NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.mean(sound.astype(np.float64) ** 2) + 1e-20))


def test_without_a_bundle_nothing_is_drawn_or_played_differently(bundle: Bundle) -> None:
    score = score_of("lead", "square")  # Of which this bundle has nothing.
    for seed in range(5):
        plain, asked = render_stems(score, seed), render_stems(score, seed, bundle)
        assert np.array_equal(plain["lead"], asked["lead"])


def test_some_stems_are_sampled_and_a_seed_decides_which(bundle: Bundle) -> None:
    chosen = [choose(bundle, "lead", "saw", seed, held_out=False) is not None for seed in SEEDS]
    assert np.mean(chosen) == pytest.approx(SAMPLED_SHARE, abs=0.1)
    assert chosen == [choose(bundle, "lead", "saw", seed, held_out=False) is not None for seed in SEEDS]


def test_held_out_recordings_are_never_trained_on(bundle: Bundle, making: Making) -> None:
    assert shared_recordings(making.manifest) == []
    names = {}
    for held_out in (False, True):
        (kit,) = bundle.kits["drums", "tr909", held_out]
        regions = [region for found in kit.alternatives.values() for one in found for region in one]
        names[held_out] = {region.recording.pcm.tobytes() for region in regions}
    assert len(names[False]) == len(names[True]) == 2 and not names[False] & names[True]


def test_a_recording_in_both_parts_is_reported(making: Making) -> None:
    manifest = json.loads(json.dumps(making.manifest))
    manifest["patches"].append({**manifest["patches"][0], "held_out": True})
    assert shared_recordings(manifest) != []


def test_the_manifest_names_source_and_licence_of_every_recording(making: Making) -> None:
    licences = {source["name"]: source["licence"] for source in making.manifest["sources"]}
    assert set(licences.values()) == {"MIT", "CC0-1.0"}
    assert all(licences[sample["source"]] == sample["licence"] for sample in making.manifest["samples"])
    assert all(source["credit"] and source["origin"] for source in making.manifest["sources"])


def test_what_is_listed_has_no_loop_and_no_name_twice() -> None:
    for drums in (*CONTENTS.one_shots.values(), CONTENTS.effects):
        for listed in drums.values():
            names = listed.split()
            assert len(names) == len(set(names)) and not any(name.startswith("loop_") for name in names)
            assert set(names) - CONTENTS.held_out, "something is left to train on"


@pytest.mark.parametrize(("layer", "family"), [("lead", "saw"), ("pad", "warm")])
def test_patches_are_as_loud_as_their_family(bundle: Bundle, layer: Layer, family: str) -> None:
    (patch,) = bundle.patches[layer, family, False]
    level = loudness_of(reference(layer, family), layer, Choice(1.0, patch=patch)) + 20 * np.log10(patch.gain)
    assert level == pytest.approx(FAMILY_LOUDNESS[layer], abs=0.05)


def test_a_sampled_tail_goes_on_at_the_start_of_the_loop(bundle: Bundle) -> None:
    sound = stem(bundle, "lead", "saw", space=0.0)
    held = sound[:, : SAMPLE_RATE_HZ // 4]  # The note begins half a second before the end and lasts one second.
    assert power_db(held) > power_db(sound[:, -SAMPLE_RATE_HZ // 4 :]) - 3.0
    step = np.abs(np.diff(np.concatenate((sound[0, -2000:], sound[0, :2000])), 2))
    assert step[1990:2010].max() < 1.5 * np.percentile(step, 99)


def test_sampled_drums_speak_on_their_frame_and_leave_the_rest_to_the_synthesiser(bundle: Bundle) -> None:
    sound = stem(bundle, "drums", "tr909", space=0.0, drive=0.0, softness=0.0)
    for beat in (1.0, 2.0):
        start = round(beat * SAMPLE_RATE_HZ / 2)
        assert power_db(sound[:, start : start + 882]) > power_db(sound[:, start - 441 : start]) + 20.0
    score = replace(score_of("drums", "tr909"), hits=(Hit("ride", 1.0, 0.9),))
    seed = sampled_seed(bundle, "drums", "tr909")
    (kit,) = bundle.kits["drums", "tr909", False]
    ride, plain = render_stems(score, seed, bundle)["drums"], render_stems(score, seed)["drums"]
    assert np.corrcoef(ride[0], plain[0])[0, 1] > 0.999, "this kit has no ride"
    assert "ride" not in kit.alternatives


@pytest.mark.parametrize("layer_family", [("lead", "saw"), ("drums", "tr909")], ids=["patch", "kit"])
def test_brightness_raises_the_treble_of_recordings(bundle: Bundle, layer_family: tuple[Layer, str]) -> None:
    def centroid(brightness: float) -> float:
        power = np.abs(np.fft.rfft(stem(bundle, *layer_family, brightness=brightness, drive=0.0).sum(0))) ** 2
        return float(np.sum(power * np.arange(len(power))) / np.sum(power))

    assert centroid(0.0) < centroid(0.5) < centroid(1.0)


def test_length_lets_a_recorded_drum_ring_longer(bundle: Bundle) -> None:
    late = slice(round(0.62 * SAMPLE_RATE_HZ), round(0.75 * SAMPLE_RATE_HZ))
    tails = [power_db(stem(bundle, "drums", "tr909", length=value, space=0.0)[:, late]) for value in (0.0, 0.5, 1.0)]
    assert tails == sorted(tails) and tails[2] > tails[0] + 6.0


def test_a_recorded_effect_fits_its_span(bundle: Bundle) -> None:
    (kit,) = bundle.kits["fx", "texture", False]
    choice = of_kit(kit, "fx", np.random.default_rng(0))
    assert choice.gain is None and choice.effects is not None and set(choice.effects) == {"impact"}
    sound = effect(choice.effects["impact"], 4410, 0.5)
    assert sound.shape == (2, 4410) and abs(sound[0, -1]) < 1e-6 and np.abs(sound[0]).max() > 0.05
    stem(bundle, "fx", "texture")


def test_a_recorded_hiss_goes_round_without_a_gap(bundle: Bundle) -> None:
    (kit,) = bundle.kits["fx", "texture", True]
    (regions,) = kit.alternatives["vinyl"]
    long = effect(regions[0], 3 * SAMPLE_RATE_HZ, 0.5)[0]
    rounds = [float(np.sqrt(np.mean(part**2))) for part in np.array_split(long[: 2 * SAMPLE_RATE_HZ], 4)]
    assert min(rounds) > 0.3 * max(rounds) > 1e-3, "half a second was recorded"


def test_a_corpus_may_be_rendered_with_a_bundle(folder: Path, bundle: Bundle, tmp_path: Path) -> None:
    """Seeds for testing, whose recordings are the held-out ones; then tape."""
    first = HELDOUT_SEEDS - 12
    render_worker(tmp_path, first, 1, float("inf"), 1, folder, 1.0)
    arrays = np.load(next(tmp_path.glob("*.npz")))
    seed = next(
        seed
        for seed in range(first, HELDOUT_SEEDS)
        for layer, timbre in training_score(seed).timbres.items()
        if choose(bundle, layer, timbre.family, seed, held_out=True)
    )
    rng = np.random.default_rng([seed, 0x7A9E])
    rng.random()
    recorded = play_on_tape(render_stems(training_score(seed), seed, bundle, held_out=True), rng)
    plain = render_stems(training_score(seed), seed)
    found = arrays[f"{seed - first}_stems"] / 32767
    assert np.allclose(found, np.stack(list(recorded.values())), atol=1e-4)
    assert not np.allclose(found, np.stack(list(plain.values())), atol=1e-2)


def test_a_folder_without_a_bundle_says_so(tmp_path: Path) -> None:
    with pytest.raises(BundleUnusable, match="make_bundle"):
        Bundle(tmp_path)
    (tmp_path / "manifest.json").write_text('{"version": 99}')
    with pytest.raises(BundleUnusable, match=r"expected version 1 .* found 99"):
        Bundle(tmp_path)
