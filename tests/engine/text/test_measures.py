"""Tempo, key, length and meter in words: what is read, and what only looks like it."""

from __future__ import annotations

import pytest

from loopmeter_engine.text.measures import read_measures

A, C_SHARP, D, E_FLAT, E, F, F_SHARP, G, A_FLAT, B_FLAT, B = 9, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11


@pytest.mark.parametrize(
    ("text", "tempo_bpm"),
    [
        ("92 bpm", 92), ("at 120 BPM", 120), ("tempo 98", 98), ("174bpm jungle", 174), ("Tempo: 87.5", 87.5),
        ("128-bpm house", 128), ("techno at 135, dark", 135), ("120 to 130 bpm", 125), ("85 beats per minute", 85),
        ("@ 140", 140), ("bpm=100", 100), ("house, 124 B.P.M.", 124), ("around 90bpm", 90),
        ("808 drums", None), ("909 and 303", None), ("16-bit", None), ("from 1985", None), ("300 bpm", None),
        ("at 20 paces", None), ("8 bars", None), ("sp-1200 drums", None), ("a 90s beat", None), ("5 bpm", None),
    ],
)  # fmt: skip
def test_tempo(text: str, tempo_bpm: float | None) -> None:
    assert read_measures(text).tempo_bpm == tempo_bpm


@pytest.mark.parametrize(
    ("text", "tonic", "mode"),
    [
        ("in A minor", A, "minor"), ("pads in a minor", A, "minor"), ("Am", A, "minor"), ("dark techno Am 130 bpm",
        A, "minor"),
        ("F# major", F_SHARP, "major"), ("f# minor", F_SHARP, "minor"), ("key of Eb", E_FLAT, None), ("Ebm",
        E_FLAT, "minor"),
        ("in Bb", B_FLAT, None), ("B♭ minor", B_FLAT, "minor"), ("A-flat major", A_FLAT, "major"), ("C sharp minor",
        C_SHARP, "minor"),
        ("D dorian", D, "dorian"), ("in E phrygian", E, "phrygian"), ("Gmaj", G, "major"), ("Dmin", D, "minor"),
        ("key: F#m", F_SHARP, "minor"), ("in c#m", C_SHARP, "minor"), ("in am", A, "minor"), ("key of a", A, None),
        ("A harmonic minor", A, "minor"), ("in the key of D", D, None), ("house in F, warm", F, None), ("b minor",
        B, "minor"),
        ("slow piano a minor 90 bpm", A, "minor"), ("in G at 90 bpm", G, None), ("bbm", None, None), ("Bbm",
        B_FLAT, "minor"),
        ("in a minor key", None, "minor"), ("a minor chord progression", None, "minor"), ("minor chords",
        None, "minor"),
        ("a major change", None, "major"), ("I am sad", None, None), ("I Am The Storm", None, None), ("what am i",
        None, None),
        ("a dark pad", None, None), ("in a dark cave", None, None), ("In A Gadda", None, None), ("ebm", None, None),
        ("fm bass", None, None), ("FM synth", None, None), ("em dash", None, None), ("a big band", None, None),
        ("vitamin B complex", None, None), ("e minor-ish vibe", E, "minor"), ("dorian mode", None, "dorian"),
    ],
)  # fmt: skip
def test_key(text: str, tonic: int | None, mode: str | None) -> None:
    measures = read_measures(text)

    assert (measures.tonic, measures.mode) == (tonic, mode)


@pytest.mark.parametrize(
    ("text", "bars"),
    [
        ("4 bars", 4), ("eight-bar loop", 8), ("2-bar", 2), ("a 16 bar groove", 16), ("one bar", 1),
        ("thirty-two bars", 32),
        ("8 measures", 8), ("0 bars", None), ("999 bars", None), ("a wine bar", None), ("bars of gold", None),
    ],
)  # fmt: skip
def test_bars(text: str, bars: int | None) -> None:
    assert read_measures(text).bars == bars


@pytest.mark.parametrize(
    ("text", "beats"),
    [
        ("3/4", 3),
        ("jazz waltz", 3),
        ("6/8 feel", 6),
        ("in 5/4 time", 5),
        ("4/4", 4),
        ("7/8", None),
        ("24/7", None),
        ("rock", None),
    ],
)
def test_meter(text: str, beats: int | None) -> None:
    assert read_measures(text).beats_per_bar == beats


def test_everything_at_once_and_the_rest_of_the_text() -> None:
    measures = read_measures("Dusty lo-fi, 8 bars, 92 bpm, in F# minor, 3/4, no drums")

    assert (measures.tempo_bpm, measures.bars, measures.beats_per_bar) == (92, 8, 3)
    assert (measures.tonic, measures.mode) == (F_SHARP, "minor")
    assert measures.rest == "Dusty lo-fi, no drums"
