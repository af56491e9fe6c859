"""What not every engine can do, and how it says so. Torch-free.

A capability is a word in ``EngineInfo.capabilities``. The fields of a request that need one stand in ``_NEEDS``; an
engine calls ``refuse_unsupported`` at the head of ``plan``, so that nothing is quoted which it would then ignore.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from loopmeter import LoopRequest
from loopmeter_engine.contract import InvalidRequest

SOURCE_TASKS = frozenset({"cover", "repaint", "extract", "lego", "complete", "continue"})

_NEEDS: Mapping[str, frozenset[str]] = {
    "chords": frozenset({"chords"}),
    "swing": frozenset({"swing"}),
    "density": frozenset({"density"}),
    "intensity": frozenset({"intensity"}),
    "sections": frozenset({"sections"}),
    "stems": frozenset({"stems"}),
    "negative_prompt": frozenset({"negative_prompt"}),
    "lyrics": frozenset({"lyrics"}),
    "language": frozenset({"lyrics"}),
    "source_audio_base64": SOURCE_TASKS,
    "reference_audio_base64": frozenset({"reference_audio"}),
    "cover_strength": frozenset({"cover"}),
    "repaint_from_beat": frozenset({"repaint"}),
    "repaint_to_beat": frozenset({"repaint"}),
    "track": frozenset({"extract", "lego"}),
    "tracks": frozenset({"complete"}),
    "lora": frozenset({"lora"}),
    "shift": frozenset({"shift"}),
    "conform": frozenset({"conform"}),
}


def refuse_unsupported(
    request: LoopRequest, engine_name: str, capabilities: frozenset[str], why: Mapping[str, str] | None = None
) -> None:
    """Refuse what needs a capability that the engine lacks. ``why`` tells, per capability, what would bring it.

    Raises:
        InvalidRequest: naming the field, the capability and the engine.
    """
    asked = {field: getattr(request, field) for field in _NEEDS}
    needed = {field: _NEEDS[field] for field, value in asked.items() if value is not None and value is not False}
    if request.task not in (None, "text2music"):
        needed = {"task": frozenset({str(request.task)})} | needed
    for field, any_of in needed.items():
        if not any_of & capabilities:
            lacking = sorted(any_of)
            reasons = "".join(f" ({why[name]})" for name in lacking if why is not None and name in why)
            raise InvalidRequest(
                field,
                f"expected an engine that can do {' or '.join(lacking)}, found {engine_name!r}, which cannot{reasons}; "
                "leave the field out or ask for another model",
            )


def refuse_fields(request: LoopRequest, model: str, fields: Iterable[str]) -> None:
    """Refuse ``fields`` of a request that ``model`` would not hear.

    Raises:
        InvalidRequest: naming the first that is set.
    """
    for name in fields:
        if getattr(request, name) is not None:
            raise InvalidRequest(name, f"expected no {name}: {model} does not know it, found one; leave it out")
