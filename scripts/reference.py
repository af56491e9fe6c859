"""The reference of the SDK from its docstrings: ``python -m scripts.reference`` writes docs/sdk-reference.md."""

from __future__ import annotations

import argparse
import inspect
import re
from enum import Enum
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel

import loopmeter
from loopmeter import adaptive, bake, testing

_TITLE = """# Reference of the Python SDK

Written by `make reference` from the docstrings. The [tutorial](sdk.md) comes first. Async twins (`AsyncLoopmeter` and
so on) have the same methods, awaited, and `aclose` for `close`; they are left out here.
"""
_DUNDERS = ("__enter__", "__iter__", "__next__")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.reference", description="Write the reference page.")
    parser.add_argument("--out", type=Path, default=Path("docs/sdk-reference.md"))
    parser.parse_args().out.write_text(page())


def page() -> str:
    """The whole page, in Markdown."""
    parts = [_TITLE, *section("loopmeter", loopmeter), *section("loopmeter.bake", bake)]
    parts += [*section("loopmeter.adaptive", adaptive), *section("loopmeter.testing", testing)]
    return "\n".join(parts).rstrip() + "\n"


def documented(module: ModuleType) -> list[str]:
    """The exported names that have an entry: classes and functions, without async twins."""
    names: list[str] = module.__all__
    return [
        name
        for name in sorted(names, key=str.lower)
        if (inspect.isclass(found := getattr(module, name)) or inspect.isfunction(found))
        and found.__module__.startswith("loopmeter")
        and not name.startswith("Async")
    ]


def section(title: str, module: ModuleType) -> list[str]:
    parts = [f"## {title}\n"]
    for name in documented(module):
        parts += entry(name, getattr(module, name))
    return parts


def entry(name: str, found: object) -> list[str]:
    """A class with its public methods, or a function."""
    parts = [f"### {name}\n", _code(_signature(name, found)), _text(found)]
    if not inspect.isclass(found):
        return parts
    if issubclass(found, BaseModel):
        return [*parts, *_fields(found)]
    if issubclass(found, (Exception, Enum)):
        return parts
    for method_name, method in vars(found).items():
        if method_name.startswith("_") and method_name not in _DUNDERS:
            continue
        if isinstance(method, property) and method.__doc__:
            parts.append(f"- **{method_name}**: {_flat(method.__doc__)}\n")
        elif inspect.isfunction(method) and method.__doc__:
            parts += [f"#### {name}.{method_name}\n", _code(_signature(method_name, method)), _text(method)]
    return parts


def _fields(model: type[BaseModel]) -> list[str]:
    rows = [
        f"| `{name}` | `{_annotation(str(field.annotation))}` | "
        f"{'' if field.is_required() else f'`{field.get_default(call_default_factory=True)!r}`'} |"
        for name, field in model.model_fields.items()
    ]
    return ["| field | type | default |", "| --- | --- | --- |", *rows, ""]


def _annotation(text: str) -> str:
    text = re.sub(r"<class '([\w.]+)'>", r"\1", text)
    return re.sub(r"\b(?:[a-z_]+\.)+(?=\w)", "", text).replace("|", "\\|")


def _signature(name: str, found: object) -> str:
    if inspect.isclass(found) and issubclass(found, BaseModel):
        return f"{name}(*, ...)"  # Its fields come as a table, and pydantic's own signature appears on first use.
    try:
        assert callable(found)
        signature = inspect.signature(found)
    except ValueError:
        return name
    return (
        _annotation(f"{name}{signature}".replace("'", ""))
        .replace("\\|", "|")
        .replace("self, ", "")
        .replace("(self)", "()")
    )


def _code(text: str) -> str:
    return f"```python\n{text}\n```\n"


def _text(found: object) -> str:
    return (inspect.getdoc(found) or "").replace("``", "`") + "\n"


def _flat(text: str) -> str:
    return " ".join(inspect.cleandoc(text).replace("``", "`").split())


if __name__ == "__main__":
    main()
