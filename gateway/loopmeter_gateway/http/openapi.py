"""What the generated OpenAPI document cannot know: problems, media types, security, examples.

``document`` is a pure function of the document. Examples stand in ``examples.json`` by the name of their schema, and
some by parameter or operation; a test checks each against its schema, and that every operation has some.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

from litestar import Request
from litestar.openapi.plugins import JsonRenderPlugin
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import loopmeter
from loopmeter import CHUNKS_MEDIA_TYPE
from loopmeter_gateway.problems import PROBLEMS

_Json = dict[str, Any]
PROBLEM_MEDIA_TYPE = "application/problem+json"
_OPEN = ("/healthz", "/readyz", "/metrics")
_SOUND: _Json = {"schema": {"type": "string", "format": "binary"}}
_JOB: _Json = {"schema": {"$ref": "#/components/schemas/Job"}}
_FILES = ("audio/wav", "audio/flac", "audio/ogg")

# What answers besides JSON, by path and method.
_MEDIA: dict[tuple[str, str], _Json] = {
    ("/v1/loops", "post"): {"application/json": _JOB, "audio/wav": _SOUND, CHUNKS_MEDIA_TYPE: _SOUND},
    ("/v1/loops/{job_id}/chunks", "get"): {CHUNKS_MEDIA_TYPE: _SOUND},
    ("/v1/loops/{job_id}/audio", "get"): dict.fromkeys(_FILES, _SOUND),
    ("/v1/loops/{job_id}/midi", "get"): {"audio/midi": _SOUND},
}
_HEADERS: dict[tuple[str, str], tuple[_Json, ...]] = {
    ("/v1/loops", "post"): (
        {
            "name": "Idempotency-Key",
            "description": "The same key never makes or charges a second loop.",
            "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"},
            "example": "take-1",
        },
        {
            "name": "Loopmeter-Max-Tokens",
            "description": "Refuse the loop with 402 over_max_tokens, before anything is held, if it costs more.",
            "schema": {"type": "string", "pattern": "^[0-9]{1,15}$"},
            "example": "900",
        },
        {
            "name": "Accept",
            "description": "The sound as a WAV file, as framed chunks with a meter each, or the job at once.",
            "schema": {"type": "string", "enum": ["audio/wav", CHUNKS_MEDIA_TYPE, "application/json"]},
            "example": "application/json",
        },
    ),
    ("/v1/loops/{job_id}/audio", "get"): (
        {
            "name": "Range",
            "description": "One range of bytes (RFC 9110, section 14).",
            "schema": {"type": "string"},
            "example": "bytes=0-99999",
        },
    ),
}


class DocumentedJson(JsonRenderPlugin):
    """Serves the document as JSON, with what ``document`` adds."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: _Json) -> bytes:
        return json.dumps(document(openapi_schema)).encode()


def document(schema: _Json) -> _Json:
    """A copy of a generated document, completed."""
    found: _Json = json.loads(json.dumps(schema))
    components = found["components"]
    components.setdefault("securitySchemes", {})["key"] = {"type": "http", "scheme": "bearer"}
    components["schemas"] |= _schemas(components["schemas"])
    _tidy(found)
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            _complete(path, method, operation)
    return found


def _tidy(part: Any) -> None:
    """Leave out alternatives that say nothing: beside them, no other could be the only one that fits."""
    for value in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _tidy(value)
    if isinstance(part, dict) and {} in part.get("oneOf", ()):
        part["oneOf"] = [choice for choice in part["oneOf"] if choice]


def _schemas(names: Iterable[str]) -> _Json:
    """The schemas of our models in pydantic's words: the framework's leave out how long a list must be."""
    models = [getattr(loopmeter, name, None) for name in names]
    ours = [(model, "validation") for model in models if isinstance(model, type) and issubclass(model, BaseModel)]
    _, made = models_json_schema(ours, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    found: _Json = made["$defs"]
    return found


def _complete(path: str, method: str, operation: _Json) -> None:
    responses = operation["responses"]
    responses.pop("400", None)  # The framework's own form of errors, which is never sent.
    success = next(iter(responses.values()))
    media = _MEDIA.get((path, method))
    if media is not None:
        success["content"] = json.loads(json.dumps(media))
    if "audio" in path:
        responses["206"] = {"description": "The range that was asked for", "content": dict(success["content"])}
    statuses = (503,) if path in _OPEN else (401, 402, 403, 404, 405, 406, 409, 410, 413, 415, 416, 422, 429, 503)
    for status in statuses if path in _OPEN else (400, *statuses):
        responses[str(status)] = _problem(status)
    if path not in _OPEN:
        operation["security"] = [{"key": []}]
    for header in _HEADERS.get((path, method), ()):
        operation.setdefault("parameters", []).append({"in": "header"} | header)
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            parameter["example"] = _examples()["parameters"][parameter["name"]]
    _give_examples(operation, _examples()["operations"].get(f"{method} {path}"))


def _problem(status: int) -> _Json:
    codes = [code for code, kind in PROBLEMS.items() if kind.status == status]
    return {
        "description": f"A problem (RFC 9457): {', '.join(codes)}",
        "content": {
            PROBLEM_MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": _examples()["Problem"] | {"status": status, "code": codes[0]} | _titles(codes[0]),
            }
        },
    }


def _titles(code: str) -> _Json:
    return {"type": f"urn:loopmeter:problem:{code}", "title": PROBLEMS[code].title, "detail": PROBLEMS[code].title}


def _give_examples(operation: _Json, answer: Any = None) -> None:
    """By the name of what is sent, or of what a list has; ``answer`` is for an answer without a name."""
    bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
    for body in bodies:
        for content in body.get("content", {}).values():
            schema = content.get("schema", {})
            name, member = (part.get("$ref", "").rpartition("/")[2] for part in (schema, schema.get("items", {})))
            if "example" in content:
                continue
            if name in _examples():
                content["example"] = _examples()[name]
            elif member in _examples():
                content["example"] = [_examples()[member]]
            elif answer is not None and "$ref" not in schema and body is not bodies[0]:
                content["example"] = answer


@cache
def _examples() -> _Json:
    found: _Json = json.loads(files("loopmeter_gateway.http").joinpath("examples.json").read_text(encoding="utf-8"))
    return found
