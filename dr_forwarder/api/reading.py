"""Reading: JSON as frozen data of a given dataclass, or Invalid with the field. Pure.

A field's metadata may say ``least`` and ``most`` of a number, ``most`` of a list's length, and
``choices`` of a text; `schema` says the same of it in the OpenAPI document.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

_Data = TypeVar("_Data")
_Reader = Callable[[Any], Any]
"""Makes a value of what JSON gave, or raises Invalid with a field that begins there."""


class Invalid(Exception):  # noqa: N818 - a request is, and the text says why
    """What is wrong with a request, and in which field, as ``changes[3].server.weight``.

    ``status`` is HTTP's: 400, or 404 if it is about nobody.
    """

    def __init__(self, field: str, reason: str, *, status: int = 400) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason
        self.status = status

    def inside(self, name: str) -> Invalid:
        """The same of a larger whole, in which this was ``name``."""
        joint = "." if self.field and not self.field.startswith("[") else ""
        return Invalid(f"{name}{joint}{self.field}", self.reason, status=self.status)


def read(raw: Any, kind: type[_Data]) -> _Data:
    """The data that an object describes; raises Invalid."""
    known: Any = kind
    try:
        value: _Data = _object_reader(known)(raw)
    except Invalid as error:
        if error.field:
            raise
        raise Invalid("the body", error.reason) from error
    return value


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


# ---- Readers, made once for each type ----


@functools.cache
def _object_reader(kind: Any) -> _Reader:
    hints = get_type_hints(kind)
    fields = [
        (field.name, _reader(hints[field.name], field.metadata), _is_needed(field))
        for field in dataclasses.fields(kind)
    ]
    names = {name for name, _, _ in fields}

    def read_object(raw: Any) -> Any:
        if not isinstance(raw, dict):
            raise Invalid("", "must be an object")
        for name in raw:
            if name not in names:
                raise Invalid(name, f"is not known; known are {', '.join(sorted(names))}")
        values = {}
        for name, reader, needed in fields:
            if needed or name in raw:
                try:
                    values[name] = reader(raw.get(name))
                except Invalid as error:
                    raise error.inside(name) from error
        return kind(**values)

    return read_object


def _reader(hint: Any, limits: Mapping[str, Any]) -> _Reader:
    if (inner := optional(hint)) is not None:
        reader = _reader(inner, limits)
        return lambda raw: None if raw is None else reader(raw)
    if is_address(hint):
        return _address
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _object_reader(hint)
    if get_origin(hint) is tuple:
        return functools.partial(_items, _reader(get_args(hint)[0], {}), limits.get("most"))
    if hint is bool:
        return _flag
    if hint is int:
        return functools.partial(_number, limits["least"], limits["most"])
    return functools.partial(_text, limits.get("choices"))


def _items(reader: _Reader, most: int | None, raw: Any) -> tuple[Any, ...]:
    if not isinstance(raw, list):
        raise Invalid("", "must be a list")
    if most is not None and len(raw) > most:
        raise Invalid("", f"at most {most} at a time")
    values = []
    for each in raw:
        try:
            values.append(reader(each))
        except Invalid as error:
            raise error.inside(f"[{len(values)}]") from error
    return tuple(values)


def _flag(raw: Any) -> bool:
    if type(raw) is not bool:
        raise Invalid("", "must be true or false")
    return raw


def _number(least: int, most: int, raw: Any) -> int:
    if type(raw) is not int or not least <= raw <= most:
        raise Invalid("", f"must be a whole number from {least} to {most}")
    return raw


def _text(choices: tuple[str, ...] | None, raw: Any) -> str:
    if choices is not None and raw not in choices:
        raise Invalid("", f"must be one of {', '.join(choices)}")
    if not isinstance(raw, str):
        raise Invalid("", "must be text")
    return raw


def _address(raw: Any) -> IPv4Address | IPv6Address:
    try:
        if isinstance(raw, str):
            return IPv6Address(raw) if ":" in raw else IPv4Address(raw)
    except ValueError:
        pass
    raise Invalid("", "must be an IPv4 or IPv6 address as text")
