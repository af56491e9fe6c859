"""Find engines by name. Listing imports none of them; loading imports exactly one.

An engine is installed by any distribution that names it under the entry-point group ``loopmeter.engines``.
"""

from __future__ import annotations

import inspect
import os
from importlib.metadata import EntryPoint, entry_points
from typing import NamedTuple

from loopmeter_engine.contract import Engine, EngineError
from loopmeter_engine.guard import DEADLINE_S, guard

GROUP = "loopmeter.engines"
_EXTRAS = frozenset({"ace-step", "musicgen", "stable-audio"})  # Ours that need an extra of their own name.


class EngineEntry(NamedTuple):
    """An installed engine. ``target`` is ``module:callable``, not imported yet."""

    name: str
    distribution: str
    version: str
    target: str


class EngineUnavailable(EngineError):
    """No engine of that name can be loaded. The message names the distribution and what to install."""


def engine_names() -> list[EngineEntry]:
    """Every installed engine, ordered by name. Imports no engine."""
    return sorted({_entry(point) for point in entry_points(group=GROUP)})


def load_engine(name: str, cores: int | None = None) -> Engine:
    """Import and build the engine called ``name``.

    ``cores`` is how many of the machine's it may compute with. It is told to an engine whose callable takes such an
    argument; None leaves the choice to the engine.

    Raises:
        EngineUnavailable: no such engine, two of that name, or its import or construction failed (chained).
    """
    entry, point = _find(name)
    try:
        build = point.load()
        told = cores is not None and "cores" in inspect.signature(build).parameters
        engine: Engine = build(cores=cores) if told else build()
    except EngineError as error:  # Its own word, which says what to do.
        raise EngineUnavailable(
            f"engine {name!r} of {entry.distribution} {entry.version} cannot run: {error}"
        ) from error
    # Whatever a plug-in raises while it starts, the operator needs the name of its package first.
    except Exception as error:
        raise EngineUnavailable(
            f"engine {name!r} of {entry.distribution} {entry.version} ({entry.target}) did not load: "
            f"{type(error).__name__}: {error}; {_remedy(entry, error)}"
        ) from error
    return engine


def open_engine(name: str, deadline_s: float = DEADLINE_S, processes: int = 0) -> Engine:
    """The engine called ``name`` for a host that must outlive it: guarded, and named in all that goes wrong.

    ``processes``: how many of their own work for it (see ``processes/``), with the cores of the machine shared out
    among them; 0 loads it into this one. ``name`` may also be the address of an engine that is served,
    ``http://HOST:PORT``; its token is taken from the environment, ``LOOPMETER_ENGINE_TOKEN``.

    Raises:
        EngineUnavailable: as ``load_engine``; or nobody answers at the address.
        EngineFailed: it loaded, but cannot say what it is.
        ValueError: processes for an engine at an address.
    """
    if name.startswith(("http://", "https://")):
        if processes:
            raise ValueError(
                f"expected no engine processes with an engine at an address, found {processes}; start them over there"
            )
        from loopmeter_engine.remote.client import remote_engine

        return remote_engine(name, os.environ.get("LOOPMETER_ENGINE_TOKEN") or None, deadline_s=deadline_s)
    entry, _ = _find(name)
    if processes:
        from loopmeter_engine.processes.count import cores_of_this_process
        from loopmeter_engine.processes.engine import engine_in_processes

        cores = max(1, cores_of_this_process() // processes)
        engine: Engine = engine_in_processes(name, processes, cores, deadline_s)
    else:
        engine = load_engine(name)
    return guard(engine, name, f"{entry.distribution} {entry.version}", deadline_s)


def _find(name: str) -> tuple[EngineEntry, EntryPoint]:
    """The one engine of that name. Raises EngineUnavailable."""
    points = {_entry(point): point for point in entry_points(group=GROUP, name=name)}
    if not points:
        known = ", ".join(entry.name for entry in engine_names()) or "none"
        raise EngineUnavailable(
            f"expected one of the installed engines ({known}), found {name!r}; install the package that provides it"
        )
    if len(points) > 1:
        owners = ", ".join(f"{entry.distribution} ({entry.target})" for entry in sorted(points))
        raise EngineUnavailable(f"expected one engine called {name!r}, found {owners}; uninstall all but one")
    ((entry, point),) = points.items()
    return entry, point


def _entry(point: EntryPoint) -> EngineEntry:
    distribution = "unknown" if point.dist is None else point.dist.name
    version = "unknown" if point.dist is None else point.dist.version
    return EngineEntry(point.name, distribution, version, point.value)


def _remedy(entry: EngineEntry, error: Exception) -> str:
    package = entry.distribution
    if package == "loopmeter":
        package = f"loopmeter[{entry.name if entry.name in _EXTRAS else 'engine'}]"
    if isinstance(error, ImportError):
        return f"install what it needs with: pip install '{package}'"
    return f"reinstall it with: pip install --force-reinstall '{package}'"
