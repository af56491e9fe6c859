"""``loopmeter adapter ardour``: one loop, at the session's tempo, onto a bar of a track."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from loopmeter import Loop, LoopmeterError
from loopmeter_integrations._asking import add_loop_arguments, make_loop
from loopmeter_integrations.ardour._control import DEFAULT_PORT, ArdourControl
from loopmeter_integrations.ardour._note import ACTION, Note
from loopmeter_integrations.ardour._rates import check_rate, wav_at_rate
from loopmeter_integrations.ardour._session import ArdourSession, SessionError
from loopmeter_integrations.osc._files import AtomicFile, safe_name


def main(arguments: Sequence[str]) -> int:
    """Run the command line. An error goes to stderr, and gives 1."""
    told = _parser().parse_args(arguments)
    try:
        with ArdourControl(port=told.osc_port) as ardour:
            _run(told, ardour)
    except LoopmeterError as error:
        print(f"loopmeter: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="loopmeter adapter ardour",
        description="Make a loop at the tempo of an Ardour session, and put it on a bar of one of its tracks. A "
        "session that is open in Ardour gives its tempo as it is now; the loop comes in by the script action "
        f"'{ACTION}' (integrations/ardour/loopmeter.lua), or when the session is closed.",
    )
    parser.add_argument("session", type=Path, help="the session's folder, or its .ardour file")
    add_loop_arguments(parser, tempo=False)
    parser.add_argument("--at-bar", type=int, default=1, help="where the loop begins; counted from 1")
    parser.add_argument("--track", required=True, help="the audio track")
    parser.add_argument(
        "--action", help="the script action's place in Ardour, such as script-1; it is run at once then"
    )
    parser.add_argument("--osc-port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--wait-s", type=float, default=600.0, help="how long to wait for the session to be closed")
    return parser


def _run(told: argparse.Namespace, ardour: ArdourControl) -> None:
    session = ArdourSession(told.session)
    is_open = ardour.is_there() and ardour.session_name() == session.name
    if is_open:
        ardour.save(session.path)
        session = ArdourSession(told.session)
    bar = session.bar(told.at_bar)
    session.check_track(told.track)
    check_rate(session.sample_rate_hz)
    loop, midi = make_loop(told, tempo_bpm=bar.tempo_bpm, beats_per_bar=bar.beats_per_bar)
    wav = _write(session, loop, midi)
    if not (is_open and _brought_in(told, ardour, session, wav, bar.frame)):
        session = ArdourSession(told.session)
        session.insert(wav, told.track, bar.frame)
        session.save()
    print(f"{wav.name} is on track {told.track!r} at bar {told.at_bar}, frame {bar.frame}", flush=True)


def _write(session: ArdourSession, loop: Loop, midi: bytes) -> Path:
    """The loop among the session's own sound, and its MIDI where the session keeps MIDI."""
    name = safe_name("loop", loop.id)
    midi_folder = session.audio_folder.with_name("midifiles")
    sound = wav_at_rate(loop, session.sample_rate_hz)
    for folder, ending, data in ((midi_folder, ".mid", midi), (session.audio_folder, ".wav", sound)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with AtomicFile(folder) as file:
                file.write(data)
                path = file.commit(name + ending)
        except OSError as error:
            raise SessionError(
                f"expected to write to {folder}, found: {error}; the loop is paid: fetch {loop.id} again, free"
            ) from error
    return path


def _brought_in(told: argparse.Namespace, ardour: ArdourControl, session: ArdourSession, wav: Path, frame: int) -> bool:
    """Wait until Ardour's script action has brought the loop in, or until the session is closed without."""
    note = Note(session.path.parent)
    note.leave(wav, told.track, frame)
    print(
        f"the loop is made; close the session {session.name!r} in Ardour to bring it in, or run the script action "
        f"{ACTION!r} there",
        flush=True,
    )
    if told.action is not None:
        ardour.send("/access_action", f"LuaAction/{told.action}")
    until = time.monotonic() + told.wait_s
    try:
        while True:
            is_there = ardour.is_there()
            problem = note.answer()
            if problem is not None:
                break
            if not is_there:
                return False
            if time.monotonic() > until:
                raise SessionError(
                    f"expected the session to be closed within {told.wait_s:g} s, found it open; the loop is {wav}"
                )
            time.sleep(0.2)
    finally:
        note.take_back()
    if problem:
        raise SessionError(f"{problem}; the loop is {wav}")
    return True
