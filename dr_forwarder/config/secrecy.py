"""Secrecy: a configuration as it may be shown, without its passwords. Pure.

The arguments of a check command are shown, but for passwords in URLs: everybody on the host can
see them anyhow, while it runs.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from .model import Config, Real, Virtual

HIDDEN: Final = "********"
_SECRETS: Final = ("passwd", "secret")
# RFC 3986 section 3.2.1; a password that should have been escaped may have an @ in it.
_IN_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s/?#:@\"']*:)[^\s/?#\"']*(?=@)")


def without_secrets(config: Config) -> Config:
    """The same with HIDDEN in their place; where there is none, nothing is hidden."""
    shared = tuple((name, _shared(name, value)) for name, value in config.shared)
    return replace(config, shared=shared, virtuals=tuple(map(_virtual, config.virtuals)))


def without_passwords(text: str) -> str:
    """A text with the passwords of URLs hidden: ``http://user:********@host/``."""
    return _IN_URL.sub(rf"\g<1>{HIDDEN}", text) if "://" in text else text


def _shared(name: str, value: Any) -> Any:
    if name in _SECRETS and value:
        return HIDDEN
    return without_passwords(value) if isinstance(value, str) else value


def _virtual(virtual: Virtual) -> Virtual:
    check = virtual.check
    shown = replace(
        check,
        password=HIDDEN if check.password else "",
        secret=HIDDEN if check.secret else "",
        request=without_passwords(check.request),
        command=without_passwords(check.command),
    )
    return replace(virtual, check=shown, real=tuple(map(_real, virtual.real)))


def _real(real: Real) -> Real:
    request = None if real.request is None else without_passwords(real.request)
    return replace(real, request=request)
