"""The text for stores that ask how a game used AI: written from what is in the pack, nothing claimed beyond. Pure."""

from __future__ import annotations

from loopmeter.bake._manifest import Manifest

DISCLOSURE_NAME = "disclosure.txt"


def disclosure(manifest: Manifest) -> str:
    """Plain text: what was generated before release, and, if the pack says ``live``, what is generated in play."""
    files = list(manifest.files().values())
    models = sorted({(file.model, file.model_version, file.licence) for file in files})
    prompts = sorted({file.prompt for file in files})
    parts = [
        f"AI-generated content in the music of {manifest.name}",
        "",
        "Pre-generated",
        f"{_count(len(manifest.loops), 'piece')} of music ({_count(len(files), 'audio file')}, each with its notes as "
        "MIDI) were generated before release with Loopmeter and are shipped as ordinary audio files. No lyrics and no "
        "recordings of other people's music were given to the model.",
        "",
        *(
            f"Model: {name} {version}, licence {licence or 'not stated by the model'}."
            for name, version, licence in models
        ),
        "",
        "Each file was made from one of these written prompts:",
        *(f"- {prompt}" for prompt in prompts),
        "",
        "The seed, the prompt, the model and the checksum of every file are in manifest.json, so each file can be "
        "traced to what it was made from.",
    ]
    if manifest.live:
        parts += [
            "",
            "Live-generated",
            "The game also asks for music while it is played. Guardrails: a request is for instrumental layers and "
            "carries no lyrics; its length is limited; spending is limited by tokens; without a connection or "
            "tokens, the pre-generated music above is played instead. Whether players can change the prompts is up to "
            "the game: state it here before you submit this text.",
        ]
    return "\n".join(parts) + "\n"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
