"""OpenAPI: the table of calls as an OpenAPI 3.1 document. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from . import schema
from .bodies import Error
from .calls import Call
from .schema import Schema

VERSION = "1"
PREFIX = f"/v{VERSION}"
LINES = "application/jsonl"

_ABOUT = (
    "HTTP and JSON on the Unix socket `control` in the state directory, for the director's user"
    " and root. Numbers named `..._s` are seconds; a `result` is 0, or an errno of kernel IPVS's."
)
_ERRORS = {
    400: "The request is wrong; `field` says where.",
    403: "Neither the director's user nor root.",
    503: "The director is still starting, or has too many clients.",
}
_OF_BODIES = {
    408: "The body did not come in time.",
    413: "The body is too long.",
}


def document(calls: Sequence[Call], *, program: str) -> dict[str, Any]:
    """The whole document; ``program`` is the version of what answers."""
    components: dict[str, Schema] = {}
    error = _content("application/json", schema.of(Error, components))
    paths: dict[str, dict[str, Any]] = {}
    for call in calls:
        operation = _operation(call, components)
        refusals = {**_ERRORS, **(_OF_BODIES if call.body else {}), **call.refusals}
        operation["responses"] |= {
            str(status): {"description": text, **error} for status, text in sorted(refusals.items())
        }
        paths.setdefault(f"{PREFIX}{call.path}", {})[call.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "dr-forwarder", "version": program, "description": _ABOUT},
        "servers": [{"url": "http://localhost", "description": "over the Unix socket"}],
        "paths": paths,
        "components": {"schemas": dict(sorted(components.items()))},
    }


def _operation(call: Call, components: dict[str, Schema]) -> dict[str, Any]:
    kind = LINES if call.lines else "application/json"
    answer = _content(kind, schema.of(call.answer, components), _example(call))
    operation: dict[str, Any] = {
        "operationId": _identifier(call),
        "summary": call.summary,
        "responses": {"200": {"description": "A line each." if call.lines else "Done.", **answer}},
    }
    if call.details:
        operation["description"] = call.details
    if call.parameters is not None:
        operation["parameters"] = list(_parameters(call, call.parameters, components))
    if call.body is not None:
        asked = _content("application/json", schema.of(call.body, components), call.example.body)
        operation["requestBody"] = {"required": True, **asked}
    return operation


def _example(call: Call) -> Any:
    """Of a stream, its first line."""
    return call.example.answer[0] if call.lines else call.example.answer


def _content(kind: str, of: Schema, example: Any = None) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": of}
    if example is not None:
        media["example"] = example
    return {"content": {kind: media}}


def _identifier(call: Call) -> str:
    words = (word.strip("{}") for word in call.path.replace(".", "/").split("/"))
    return "_".join((call.method.lower(), *(word for word in words if word)))


def _parameters(call: Call, kind: type, components: dict[str, Schema]) -> Iterator[dict[str, Any]]:
    needed = {each.name for each in dataclasses.fields(kind) if schema.is_needed(each)}
    for name, of in schema.fields(kind, components).items():
        text = of.pop("description", None)
        parameter = {
            "name": name,
            "in": "path" if f"{{{name}}}" in call.path else "query",
            "required": name in needed,
            "schema": of,
        }
        yield {**parameter, "description": text} if text else parameter
