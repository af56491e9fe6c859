"""Everything that goes wrong becomes a problem document (RFC 9457), from the one table in ``problems.py``."""

from __future__ import annotations

import logging
import re
import secrets
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.routes import BaseRoute
from litestar.types import Message, Scope
from pydantic import ValidationError

from loopmeter import FieldProblem
from loopmeter_gateway.limits import Allowance
from loopmeter_gateway.money.quotes import field_problem
from loopmeter_gateway.problems import PROBLEMS, Refused
from loopmeter_gateway.stores.postgres import DatabaseAway

_log = logging.getLogger(__name__)
PROBLEM_MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
FEATURES = "max-tokens"  # What a client may rely on; an older gateway would ignore the header Loopmeter-Max-Tokens.
_FOUND_CHARACTERS_MAX = 100


def request_id(scope: Scope) -> str:
    """The id of this request: in its answer's ``X-Request-Id``, in its problem, in the log."""
    state: dict[str, Any] = scope["state"]
    found: str = state.setdefault("request_id", "req_" + secrets.token_hex(8))
    return found


async def add_request_id(message: Message, scope: Scope) -> None:
    """Before-send hook: every answer names its request, what its key has left, and what this gateway knows."""
    if message["type"] == "http.response.start":
        allowance: Allowance | None = scope["state"].get("allowance")
        fields = {"X-Request-Id": request_id(scope), "Loopmeter-Features": FEATURES} | (
            {} if allowance is None else allowance.headers()
        )
        if scope.get("method") == "OPTIONS":  # The framework names the methods of one handler only.
            message["headers"] = [header for header in message["headers"] if header[0].lower() != b"allow"]
            fields["Allow"] = ", ".join(_methods(scope))
        more = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
        message["headers"] = [*message["headers"], *more]


def on_refused(request: Request[Any, Any, Any], refused: Refused) -> Response[dict[str, Any]]:
    """Answer a refusal."""
    problem = refused.problem(request_id(request.scope))
    headers = {}
    if refused.kind.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if refused.kind.status == 405:
        headers["Allow"] = ", ".join(_methods(request.scope))
    if refused.kind.status in (429, 503):
        headers["Retry-After"] = str(refused.amounts.get("retry_after_s", RETRY_AFTER_S))
    content = problem.model_dump(mode="json", exclude_none=True) | refused.amounts
    return Response(content, status_code=refused.kind.status, headers=headers, media_type=PROBLEM_MEDIA_TYPE)


def on_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    """Answer what the web framework raised."""
    if isinstance(error, ValidationException):
        return on_refused(request, _invalid(request, error))
    if error.status_code >= 500:
        return on_exception(request, error)
    by_status = {kind.status: code for code, kind in reversed(PROBLEMS.items())}
    code = by_status.get(error.status_code, "invalid_request")
    details = {
        "malformed_json": f"body: expected JSON, found something else ({error.detail})",
        "method_not_allowed": f"expected a method that {request.url.path} has, found {request.method}",
        "body_too_large": f"expected a body of at most {request.app.request_max_body_size} bytes, found a larger one",
        "not_found": f"expected a known path, found {request.url.path}; see /schema/openapi.json",
    }
    return on_refused(request, Refused(code, details.get(code, error.detail)))


def _methods(scope: Scope) -> list[str]:
    """What the path of a request can do. It may not have been routed yet: a wrong method is found first."""
    parts = [part for part in scope["path"].split("/") if part]

    def leads_here(route: BaseRoute) -> bool:
        known = route.path_components
        return len(known) == len(parts) and all(
            not isinstance(name, str) or name == part for name, part in zip(known, parts, strict=True)
        )

    return sorted({method for route in scope["litestar_app"].routes if leads_here(route) for method in route.methods})


def on_exception(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """Answer what nobody expected, without showing the inside."""
    found = request_id(request.scope)
    if isinstance(error, DatabaseAway):
        _log.error("%s %s %s: the database is away: %s", found, request.method, request.url.path, error)
        return on_refused(request, Refused("not_ready", "expected the database, found it away; ask again"))
    _log.error("%s %s %s", found, request.method, request.url.path, exc_info=error)
    return on_refused(
        request, Refused("internal", f"the gateway broke on its own; its operator finds {found} in the log")
    )


def invalid_fields(error: ValidationError) -> Refused:
    """What pydantic said about a message, as a refusal that names each field."""
    fields = tuple(_field(dict(item)) for item in error.errors(include_url=False, include_context=False))
    return Refused("invalid_request", _sentence(fields) or "expected a JSON object", errors=fields)


def _sentence(fields: tuple[FieldProblem, ...]) -> str:
    return "; ".join(
        f"{field.field}: expected {field.expected}" + (f", found {field.found}" if field.found else "")
        for field in fields
    )


def _invalid(request: Request[Any, Any, Any], error: ValidationException) -> Refused:
    """What pydantic said about the body, or the web framework about body and query."""
    in_body: list[dict[str, Any]] = getattr(error.__cause__, "errors", None) or []
    fields = tuple(_field(item) for item in in_body)
    if not fields and isinstance(error.extra, list):
        fields = tuple(_framework_field(request, item) for item in error.extra)
    return Refused("invalid_request", _sentence(fields) or error.detail, errors=fields)


def _framework_field(request: Request[Any, Any, Any], item: dict[str, Any]) -> FieldProblem:
    name = str(item.get("key", "data")).strip("_")  # from_ and format_ are words of Python.
    if name == "data":
        return FieldProblem(field="body", expected="a JSON object", found="nothing")
    expected = _expected(str(item.get("message", ""))).partition(", got")[0].replace("`", "")
    return FieldProblem(field=name, expected=expected, found=_shown(request.query_params.get(name, "nothing")))


def _field(item: dict[str, Any]) -> FieldProblem:
    """One pydantic error as expected and found."""
    field = ".".join(str(part) for part in item["loc"]) or "body"
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "missing":
        return FieldProblem(field=field, expected="a value", found="nothing")
    if item["type"] == "extra_forbidden":
        return FieldProblem(field=field, expected="no such field", found=field)
    if item["type"] == "value_error":
        return field_problem(field, message)
    return FieldProblem(field=field, expected=_expected(message), found=_shown(item.get("input")))


def _expected(message: str) -> str:
    """'Input should be greater than 3' is what was expected: 'greater than 3'."""
    if "should match pattern '\\S'" in message:
        return "text that is not blank"
    return re.sub(r"^(Input|String|Tuple|Value) should (be |have )?|^Expected ", "", message)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _FOUND_CHARACTERS_MAX else text[: _FOUND_CHARACTERS_MAX - 1] + "…"
