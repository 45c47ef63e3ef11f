"""Reading: JSON as frozen data of a given dataclass, or Invalid with the field. Pure.

A field's metadata may say ``least`` and ``most`` of a number, ``most`` of a list's length, and
``choices`` of a text; `schema` says the same of it in the OpenAPI document.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

_Data = TypeVar("_Data")


class Invalid(Exception):  # noqa: N818 - a request is, and the text says why
    """What is wrong with a request, and in which field, as ``changes[3].server.weight``.

    ``status`` is HTTP's: 400, or 404 if it is about nobody.
    """

    def __init__(self, field: str, reason: str, *, status: int = 400) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason
        self.status = status


def read(raw: Any, kind: type[_Data], at: str = "") -> _Data:
    """The data that an object describes; raises Invalid."""
    if not isinstance(raw, dict):
        raise Invalid(at or "the body", "must be an object")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in raw:
        if name not in fields:
            known = ", ".join(sorted(fields))
            raise Invalid(_under(at, name), f"is not known; known are {known}")
    hints = get_type_hints(kind)
    values = {
        name: _value(raw.get(name), hints[name], field.metadata, _under(at, name))
        for name, field in fields.items()
        if name in raw or _is_needed(field)
    }
    return kind(**values)


def read_text(raw: Mapping[str, str], kind: type[_Data]) -> _Data:
    """The data that the parameters of a path and a query describe; raises Invalid."""
    hints = get_type_hints(kind)
    return read({name: _of_text(text, hints.get(name)) for name, text in raw.items()}, kind)


def _of_text(text: str, hint: Any) -> Any:
    if hint is bool:
        return {"true": True, "1": True, "false": False, "0": False}.get(text, text)
    is_number = hint is int and text.isascii() and text.isdigit() and len(text) < 20
    return int(text) if is_number else text


def _is_needed(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def is_address(hint: Any) -> bool:
    """Whether a type is that of an IPv4 or IPv6 address."""
    return set(get_args(hint)) == {IPv4Address, IPv6Address}


def optional(hint: Any) -> Any:
    """The type T of ``T | None``; None of any other."""
    args = get_args(hint)
    if get_origin(hint) not in (types.UnionType, *_UNIONS) or type(None) not in args:
        return None
    rest = tuple(each for each in args if each is not type(None))
    whole = rest[0]
    for each in rest[1:]:
        whole = whole | each
    return whole


_UNIONS = (get_origin(int | None),)


def _value(raw: Any, hint: Any, limits: Mapping[str, Any], at: str) -> Any:
    if (inner := optional(hint)) is not None:
        return None if raw is None else _value(raw, inner, limits, at)
    if is_address(hint):
        return _address(raw, at)
    if dataclasses.is_dataclass(hint):
        return read(raw, hint, at)  # type: ignore[arg-type]
    if get_origin(hint) is tuple:
        return _items(raw, get_args(hint)[0], limits, at)
    if hint is bool:
        if type(raw) is not bool:
            raise Invalid(at, "must be true or false")
        return raw
    return _number(raw, limits, at) if hint is int else _text(raw, limits, at)


def _items(raw: Any, kind: Any, limits: Mapping[str, Any], at: str) -> tuple[Any, ...]:
    if not isinstance(raw, list):
        raise Invalid(at, "must be a list")
    if "most" in limits and len(raw) > limits["most"]:
        raise Invalid(at, f"at most {limits['most']} at a time")
    return tuple(_value(each, kind, {}, f"{at}[{i}]") for i, each in enumerate(raw))


def _number(raw: Any, limits: Mapping[str, Any], at: str) -> int:
    least, most = limits["least"], limits["most"]
    if type(raw) is not int or not least <= raw <= most:
        raise Invalid(at, f"must be a whole number from {least} to {most}")
    return raw


def _text(raw: Any, limits: Mapping[str, Any], at: str) -> str:
    choices = limits.get("choices")
    if choices is not None and raw not in choices:
        raise Invalid(at, f"must be one of {', '.join(choices)}")
    if not isinstance(raw, str):
        raise Invalid(at, "must be text")
    return raw


def _address(raw: Any, at: str) -> IPv4Address | IPv6Address:
    try:
        if isinstance(raw, str):
            return ip_address(raw)
    except ValueError:
        pass
    raise Invalid(at, "must be an IPv4 or IPv6 address as text")


def _under(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name
