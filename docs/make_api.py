"""Prints docs/api.md from the table of calls: `make docs` writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dr_forwarder.api.calls import Call
from dr_forwarder.api.openapi import PREFIX
from dr_forwarder.api.routes import CALLS, described

_SOCKET = "/run/dr-forwarder/control"


def page() -> str:
    """The whole page."""
    return "\n".join(_page(described())) + "\n"


def _page(document: Mapping[str, Any]) -> Iterator[str]:
    yield "# The control socket"
    yield ""
    yield "Made from the table of calls by `make docs`. The same as OpenAPI 3.1 is at"
    yield "`GET /v1/openapi.json`. " + document["info"]["description"]
    yield ""
    yield "From Python there is `dr_forwarder.Client`. A test makes every example here to a running"
    yield "director; of the answers only a part is shown. In a request, what is left out has its"
    yield "default."
    yield ""
    for call in CALLS:
        yield from _call(call, document["paths"][f"{PREFIX}{call.path}"][call.method.lower()])
    yield "## Errors"
    yield ""
    yield from _errors()
    yield "## Types"
    yield ""
    for name, schema in document["components"]["schemas"].items():
        yield from _type(name, schema)


def _call(call: Call, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {call.method} {PREFIX}{call.path}"
    yield ""
    yield f"{call.summary}. {call.details}".strip()
    yield ""
    for each in operation.get("parameters", ()):
        text = each.get("description", "")
        yield f"- `{each['name']}` ({each['in']}): {_kind(each['schema'])}. {text}".rstrip()
    if call.body is not None:
        yield f"Takes {_media(operation['requestBody'])}."
    kind = _media(operation["responses"]["200"])
    yield f"Answers {kind}" + (", line by line." if call.lines else ".")
    yield ""
    yield "```console"
    yield f"$ {_curl(call)}"
    answer = call.example.answer
    for each in answer if call.lines else [answer]:
        yield json.dumps(each) if call.lines else json.dumps(each, indent=1)
    yield "```"
    yield ""


def _curl(call: Call) -> str:
    words = ["curl -s"]
    if call.method != "GET":
        words.append(f"-X {call.method}")
    words.append(f"--unix-socket {_SOCKET}")
    words.append(f"http://localhost{PREFIX}{call.example.path or call.path}")
    if call.example.body is not None:
        words.append(f"-d '{json.dumps(call.example.body)}'")
    return " ".join(words)


def _errors() -> Iterator[str]:
    yield "A status other than 200 comes with an `Error`. 400: the request is wrong, and `field`"
    yield "says where. 403: neither the director's user nor root. 404: there is no such call. 503:"
    yield "the director is still starting, or has too many clients, or too many that follow."
    yield ""


def _media(content: Mapping[str, Any]) -> str:
    (media,) = content["content"].values()
    return _kind(media["schema"])


def _type(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {name}"
    yield ""
    yield schema["description"]
    yield ""
    yield "| field | type | default | meaning |"
    yield "| --- | --- | --- | --- |"
    needed = schema.get("required", ())
    for field, of in schema["properties"].items():
        default = "" if field in needed or "default" not in of else f"`{json.dumps(of['default'])}`"
        yield f"| `{field}` | {_kind(of)} | {default} | {of.get('description', '')} |"
    yield ""


def _kind(schema: Mapping[str, Any]) -> str:
    """A type in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return f"{_kind(schema['anyOf'][0])} or null"
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    match schema.get("type"):
        case "array":
            return f"list of {_kind(schema['items'])}"
        case "integer" if "maximum" in schema:
            return f"{schema['minimum']}..{schema['maximum']}"
        case "object":
            return f"object of {_kind(schema['additionalProperties'])}"
        case None:
            return "anything"
        case kind:
            return "address" if "address" in schema.get("description", "") else str(kind)


if __name__ == "__main__":
    print(page(), end="")
