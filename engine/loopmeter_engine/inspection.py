"""What each installed engine is and whether it can run: asked in a process of its own, which may break.

    python -m loopmeter_engine.inspection NAME

prints one JSON object about one engine. ``describe_engines`` runs that for all of them, so that listing engines
imports none into this process, and one that crashes or hangs is a line of the list.
"""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from loopmeter_engine.processes.count import default_processes
from loopmeter_engine.registry import EngineEntry, EngineUnavailable, engine_names, load_engine

TIMEOUT_S = 60.0
_AT_ONCE = 2  # Each may load weights; more of them would only wait for the disk.
_ANSWER = "loopmeter-engine: "


@dataclass(frozen=True, slots=True)
class EngineDescription:
    """An installed engine, and what it says of itself. ``problem`` is why it cannot run; empty if it can.

    ``processes`` is in how many ``loopmeter serve`` has it work on this machine if it is not told; 0: in its own.
    """

    entry: EngineEntry
    problem: str = ""
    engine_version: str = ""
    licence: str = ""
    commercial: bool | None = None
    output_rights: str = ""
    sample_rate_hz: int | None = None
    duration_s_max: float | None = None
    capabilities: tuple[str, ...] = ()
    weights: str = ""
    notes: tuple[str, ...] = ()
    streams_at_once: int | None = None
    processes: int | None = None

    def as_json(self) -> dict[str, object]:
        """Plain values; the entry's fields and the description's on one level."""
        own = {name: getattr(self, name) for name in self.__slots__ if name != "entry"}
        return {**self.entry._asdict(), "runs": not self.problem, **own}


def describe_engines(timeout_s: float = TIMEOUT_S) -> list[EngineDescription]:
    """Every installed engine, ordered by name. Each gets ``timeout_s`` to say what it is."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda entry: describe_engine(entry, timeout_s), engine_names()))


def describe_engine(entry: EngineEntry, timeout_s: float = TIMEOUT_S) -> EngineDescription:
    """One engine, asked in a process of its own."""
    owner = f"{entry.distribution} {entry.version}"
    call = [sys.executable, "-m", "loopmeter_engine.inspection", entry.name]
    try:
        done = subprocess.run(call, capture_output=True, text=True, timeout=timeout_s, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return EngineDescription(entry, f"engine {entry.name!r} of {owner} did not answer within {timeout_s:g} s")
    answers = [line for line in done.stdout.splitlines() if line.startswith(_ANSWER)]
    if not answers:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        return EngineDescription(
            entry, f"engine {entry.name!r} of {owner} ended its process with status {done.returncode}: {last}"
        )
    answer: dict[str, Any] = json.loads(answers[-1].removeprefix(_ANSWER))
    for name in ("capabilities", "notes"):
        answer[name] = tuple(answer.get(name, ()))
    return EngineDescription(entry, **answer)


def _answer(name: str) -> dict[str, object]:
    try:
        info = load_engine(name).info()
    except EngineUnavailable as error:
        return {"problem": str(error)}
    # It loaded and then broke: no fault of its import, so the registry has not seen it.
    except Exception as error:
        return {"problem": f"engine {name!r} loaded, but its info raised {type(error).__name__}: {error}"}
    return {
        "engine_version": info.version,
        "licence": info.licence,
        "commercial": info.commercial,
        "output_rights": info.output_rights,
        "sample_rate_hz": info.sample_rate_hz,
        "duration_s_max": info.duration_s_max,
        "capabilities": sorted(info.capabilities),
        "weights": info.weights,
        "notes": list(info.notes),
        "streams_at_once": info.streams_at_once,
        "processes": default_processes(name),
    }


if __name__ == "__main__":
    print(_ANSWER + json.dumps(_answer(sys.argv[1])), flush=True)
