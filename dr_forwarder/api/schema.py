"""Schema: types as JSON Schema, from dataclasses, their docstrings and their limits. Pure."""

from __future__ import annotations

import ast
import dataclasses
import enum
import functools
import inspect
import textwrap
from collections.abc import Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from ..messages import jsonable
from .reading import is_address, optional

Schema = dict[str, Any]

_ADDRESS: Schema = {"type": "string", "format": "ip", "description": "An IPv4 or IPv6 address."}
_BYTES: Schema = {"type": "string", "pattern": "^([0-9a-f]{2}(:[0-9a-f]{2})*)?$"}
_PLAIN: Mapping[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    object: {},
    Path: {"type": "string"},
    bytes: _BYTES,
}


def of(hint: Any, components: dict[str, Schema]) -> Schema:
    """The schema of a type; those of the dataclasses in it are added to the components."""
    if (inner := optional(hint)) is not None:
        return {"anyOf": [of(inner, components), {"type": "null"}]}
    if is_address(hint):
        return dict(_ADDRESS)
    if IPv4Network in get_args(hint):
        return {"type": "string"}
    if hint in _PLAIN:
        return dict(_PLAIN[hint])
    if get_origin(hint) in (tuple, frozenset):
        return {"type": "array", "items": of(get_args(hint)[0], components)}
    if get_origin(hint) is Mapping:
        return {"type": "object", "additionalProperties": of(get_args(hint)[1], components)}
    if issubclass(hint, enum.Flag):
        return {"type": "integer"}
    if issubclass(hint, enum.Enum):
        return {"type": "string", "enum": [each.value for each in hint]}
    return _component(hint, components)


def _component(kind: type, components: dict[str, Schema]) -> Schema:
    name = kind.__name__
    if name not in components:
        components[name] = {}  # known from here on, should it contain itself
        components[name] = _object(kind, components)
    return {"$ref": f"#/components/schemas/{name}"}


def _object(kind: type, components: dict[str, Schema]) -> Schema:
    told = [each for each in dataclasses.fields(kind) if each.compare]
    needed = [each.name for each in told if is_needed(each)]
    schema: Schema = {
        "type": "object",
        "description": described(kind),
        "properties": fields(kind, components),
        "additionalProperties": False,
    }
    return schema | {"required": needed} if needed else schema


def is_needed(field: dataclasses.Field[Any]) -> bool:
    """Whether a field has no default."""
    return field.default is field.default_factory is dataclasses.MISSING


def described(kind: type) -> str:
    """A class's docstring as running text."""
    return " ".join((inspect.getdoc(kind) or "").split()).replace("``", "`")


def fields(kind: type, components: dict[str, Schema]) -> dict[str, Schema]:
    """The schema of each field of a dataclass, with its description, limits and default."""
    hints, texts = get_type_hints(kind), _texts(kind)
    found = {}
    for each in dataclasses.fields(kind):
        if not each.compare:
            continue
        schema = of(hints[each.name], components)
        _limit(schema, each.metadata)
        if each.name in texts:
            schema["description"] = texts[each.name]
        if each.default is not dataclasses.MISSING:
            schema["default"] = jsonable(each.default)
        found[each.name] = schema
    return found


def _limit(schema: Schema, limits: Mapping[str, Any]) -> None:
    target = schema["anyOf"][0] if "anyOf" in schema else schema
    names = {"least": "minimum", "most": "maximum", "choices": "enum"}
    if target.get("type") == "array":
        names = {"most": "maxItems"}
    for name, value in limits.items():
        target[names[name]] = list(value) if name == "choices" else value


@functools.cache
def _texts(kind: type) -> Mapping[str, str]:
    """What stands below each field in the source."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    return {
        field.target.id: " ".join(below.value.value.split()).replace("``", "`")
        for field, below in zip(body.body, body.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }
