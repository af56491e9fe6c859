"""The package as a whole: what it exports and what it loads."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import loopmeter
from loopmeter import LoopOptions, LoopRequest

# Machinery, of which only what a user's own transport needs is exported. Of every other module, all is for users.
MACHINERY = {
    "_async_runner",
    "_async_shelf",
    "_files",
    "_shelf",
    "_core",
    "_flows",
    "_live_core",
    "_live_transport",
    "_orders",
    "_retry",
    "_runner",
    "_settings",
    "_transport",
}
PUBLIC_MODULES: list[ModuleType] = [
    importlib.import_module(f"loopmeter.{path.stem}")
    for path in sorted(Path(loopmeter.__file__).parent.glob("_*.py"))
    if path.stem not in MACHINERY | {"__init__"}
]
NOT_FOR_USERS = {
    "FinishedLoop",
    "api_error_type",
    "atomic_file",
    "check_key",
    "check_layers",
    "default_cache_folder",
    "music_of",
    "quotas_of",
    "write_atomically",
}


@pytest.mark.parametrize("module", PUBLIC_MODULES, ids=lambda module: module.__name__)
def test_every_public_class_and_function_is_exported(module: ModuleType) -> None:
    defined = {
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__ and not name.startswith("_")
    }

    assert defined - NOT_FOR_USERS <= set(loopmeter.__all__)


def test_every_exported_name_exists() -> None:
    assert [name for name in loopmeter.__all__ if not hasattr(loopmeter, name)] == []


def test_the_keyword_arguments_are_the_fields_of_a_request() -> None:
    assert LoopOptions.__annotations__.keys() == LoopRequest.model_fields.keys() - {"prompt"}


def test_importing_the_package_loads_neither_torch_nor_litestar_nor_numpy() -> None:
    heavy = {"torch", "litestar", "numpy", "httpx", "click", "rich", "asyncio", "loopmeter.testing"}
    heavy |= {"importlib.metadata", "email.utils", "pydantic.plugin._loader"}  # The last is loaded by the first schema.
    code = (
        "import sys, time; start = time.perf_counter(); import loopmeter; spent = time.perf_counter() - start\n"
        f"print(f'{{1000 * spent:.0f}} ms', *{heavy} & set(sys.modules))"
    )

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    print("import loopmeter:", result.stdout)
    assert result.stdout.split()[2:] == []


def test_importing_the_package_builds_no_schema() -> None:
    """One model without ``defer_build=True`` in its ``model_config`` adds a third to the time of the import."""
    code = (
        "import loopmeter, pydantic\n"
        "for name in loopmeter.__all__: getattr(loopmeter, name)\n"
        "def below(model):\n"
        "    return {model}.union(*map(below, model.__subclasses__()))\n"
        "models = {model for model in below(pydantic.BaseModel) if model.__module__.startswith('loopmeter')}\n"
        "print(len(models), *sorted(model.__name__ for model in models if model.__pydantic_complete__))"
    )

    count, *built = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    assert int(count) > 30 and built == []
