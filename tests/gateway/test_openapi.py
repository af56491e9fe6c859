"""The OpenAPI document is valid, shows every operation by example, and is what the running gateway does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from openapi_spec_validator import validate

from loopmeter import CHUNKS_MEDIA_TYPE
from loopmeter_engine.fake import FakeEngine
from loopmeter_gateway.app import create_app
from loopmeter_gateway.http.openapi import document
from loopmeter_gateway.settings import Settings

from .conftest import House
from .test_server import Server, serving

ROOT = Path(__file__).parents[2]
JSON = ("application/json", "application/problem+json")


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("schema")
    app = create_app(Settings(db=f"sqlite:///{folder}/x.db", data=folder), FakeEngine())
    return document(app.openapi_schema.to_schema())


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def contents(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for body in (operation.get("requestBody", {}), *operation["responses"].values()):
        yield from body.get("content", {}).items()


def test_the_document_is_valid(schema: dict[str, Any]) -> None:
    validate(schema)


def test_every_operation_has_examples_of_all_that_is_json(schema: dict[str, Any]) -> None:
    bare = [
        (name, media)
        for name, operation in operations(schema)
        for media, content in contents(operation)
        if media in JSON and "$ref" in json.dumps(content["schema"]) and "example" not in content
    ]
    assert bare == []
    assert all("example" in p for _, operation in operations(schema) for p in operation.get("parameters", ())
               if p["in"] != "query")  # fmt: skip


def test_every_example_is_what_its_schema_says(schema: dict[str, Any]) -> None:
    checked = 0
    for name, operation in operations(schema):
        for _, content in contents(operation):
            if "example" in content:
                against = content["schema"] | {"components": schema["components"]}
                assert jsonschema_rs.validator_for(against).is_valid(content["example"]), (name, content)
                checked += 1
    assert checked > 300


def test_every_answer_to_an_operator_has_an_example(schema: dict[str, Any]) -> None:
    operator = [(name, operation) for name, operation in operations(schema) if " /admin" in name]
    for name, operation in operator:
        (success,) = (body for status, body in operation["responses"].items() if status.startswith("2"))
        assert all("example" in content for content in success["content"].values()), name
        assert all("example" in content for content in operation.get("requestBody", {}).get("content", {}).values())
    assert len(operator) == 23


def test_sound_and_problems_are_told_by_their_media_types(schema: dict[str, Any]) -> None:
    make = schema["paths"]["/v1/loops"]["post"]["responses"]
    assert set(make["200"]["content"]) == {"application/json", "audio/wav", CHUNKS_MEDIA_TYPE}
    assert make["402"]["content"]["application/problem+json"]["example"]["code"] == "insufficient_tokens"
    assert schema["paths"]["/v1/balance"]["get"]["security"] == [{"key": []}]


def explore(server: Server, key: str | None, examples: int, tmp_path: Path) -> str:
    """Schemathesis with all its checks; its report."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(ROOT / "schemathesis.toml"), "run"]
    command += [f"{server.url}/schema/openapi.json", "--checks", "all", "--max-examples", str(examples), "--seed", "1"]
    command += ["--phases", "examples,coverage,fuzzing", "--request-timeout", "60", "--no-color"]
    command += ["--suppress-health-check", "all", "--generation-database", "none"]
    if key is not None:
        command += ["-H", f"Authorization: Bearer {key}"]
    environment = os.environ | {"NO_PROXY": "127.0.0.1", "HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path)}
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-2000:]
    return found.stdout


@pytest.mark.parametrize("known", [True, False], ids=["with a key", "without a key"])
def test_schemathesis_finds_no_server_error_and_no_violation(
    house: House, known: bool, tmp_path: Path, schema: dict[str, Any]
) -> None:
    house.grant(10**9)
    with serving(house) as server:
        report = explore(server, house.key if known else None, 1, tmp_path)
    assert f"Tested: {sum(len(methods) for methods in schema['paths'].values())}" in report
    assert house.audit().faults == ()


@pytest.mark.soak
@pytest.mark.parametrize("known", [True, False], ids=["with a key", "without a key"])
def test_schemathesis_finds_nothing_for_long(house: House, known: bool, tmp_path: Path) -> None:
    house.grant(10**12)
    with serving(house) as server:
        explore(server, house.key if known else None, 300, tmp_path)
    assert house.audit().faults == ()


def test_the_served_document_is_the_documented_one(house: House, schema: dict[str, Any]) -> None:
    with serving(house) as server, server.http() as http:
        served = http.get("/schema/openapi.json").json()
    assert json.dumps(served["paths"], sort_keys=True) == json.dumps(schema["paths"], sort_keys=True)
