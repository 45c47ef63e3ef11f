"""Naming: a service as people write it, found among those there are. No I/O; Names may ask."""

from __future__ import annotations

from collections.abc import Iterable

from ..ipvsadm.values import Names, endpoint
from ..table import Key

_PROTOCOLS = ("tcp", "udp", "sctp", "fwm")


class UnknownServiceError(ValueError):
    """No service is called so, or more than one."""


def service(text: str, keys: Iterable[Key], names: Names) -> Key:
    """``10.0.0.1:80``, ``tcp 10.0.0.1:80``, ``udp:[2001:db8::1]:53``, ``web:http``, ``fwm:7``.

    What may be left out is what only one service can mean: protocol, port. Raises
    UnknownServiceError.
    """
    known = list(dict.fromkeys(keys))
    protocol, name = _parts(text)
    found = [key for key in known if protocol in (None, key.protocol) and _is(key, name, names)]
    if len(found) == 1:
        return found[0]
    if found:
        choice = ", ".join(map(str, found))
        raise UnknownServiceError(f"{text!r} may be any of: {choice}")
    there = ", ".join(map(str, known)) or "none"
    raise UnknownServiceError(f"there is no service {text!r}; there are: {there}")


def _parts(text: str) -> tuple[str | None, str]:
    """The protocol, if there is one, and the rest."""
    for protocol in _PROTOCOLS:
        rest = text[len(protocol) :]
        if text.lower().startswith(protocol) and rest[:1] in (" ", ":", "/", "\t"):
            return protocol, rest[1:].strip()
    return None, text.strip()


def _is(key: Key, name: str, names: Names) -> bool:
    if key.protocol == "fwm":
        return key.name == name
    found = endpoint(name, key.protocol, names)
    return found is not None and found[0] == key.address and found[1] in (None, key.port)
