"""What the documented example of a call promises, compared with an answer."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

from dr_forwarder.api import routes

DOCUMENT = routes.described()


def check(schema: dict[str, Any], value: object) -> None:
    """Raises ValidationError where a value is not what the document says."""
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(value)


def operation(method: str, path: str) -> dict[str, Any]:
    """What the document says of a call."""
    described: dict[str, Any] = DOCUMENT["paths"][f"/v1{path}"][method.lower()]
    return described


def agrees(example: Any, answer: Any) -> bool:
    """Whether an answer is as in the example, which may leave parts of objects out."""
    if isinstance(example, dict):
        return isinstance(answer, dict) and all(
            name in answer and agrees(value, answer[name]) for name, value in example.items()
        )
    if isinstance(example, list):
        return (
            isinstance(answer, list)
            and len(example) == len(answer)
            and all(agrees(one, other) for one, other in zip(example, answer, strict=True))
        )
    return bool(example == answer)
