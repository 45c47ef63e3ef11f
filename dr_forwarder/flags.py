"""Flags: what a service has besides scheduler and persistence, in ipvsadm's words. Pure."""

from __future__ import annotations

import enum


class ServiceFlag(enum.IntFlag):
    """The kernel's bits, without that of persistence: a time-out says that."""

    ONE_PACKET = 0x4
    SCHEDULER_1 = 0x8
    """sh, mh: fall back to another server."""
    SCHEDULER_2 = 0x10
    """sh, mh: the client's port counts too."""
    SCHEDULER_3 = 0x20


NO_FLAGS = ServiceFlag(0)

_BITS = (ServiceFlag.SCHEDULER_1, ServiceFlag.SCHEDULER_2, ServiceFlag.SCHEDULER_3)
_HASHING = ("sh", "mh")


def names(scheduler: str) -> tuple[str, str, str]:
    """What ipvsadm -b calls the three bits with this scheduler."""
    if scheduler in _HASHING:
        return f"{scheduler}-fallback", f"{scheduler}-port", "flag-3"
    return "flag-1", "flag-2", "flag-3"


def parse(text: str, *, scheduler: str) -> ServiceFlag:
    """The bits of ``sh-fallback,sh-port``; raises ValueError with what would be right."""
    flags = NO_FLAGS
    known = dict(zip(names(scheduler), _BITS, strict=True)) | dict(
        zip(("flag-1", "flag-2", "flag-3"), _BITS, strict=True)
    )
    for name in text.split(","):
        if name not in known:
            raise ValueError(
                f"scheduler flag {name!r} does not go with {scheduler}: write"
                f" {', '.join(names(scheduler))}"
            )
        flags |= known[name]
    return flags


def shown(flags: ServiceFlag, *, scheduler: str) -> str:
    """``sh-fallback,sh-port``; empty without any. Of sh ipvsadm shows these two alone."""
    pairs = list(zip(_BITS, names(scheduler), strict=True))
    shown_pairs = pairs[:2] if scheduler == "sh" else pairs
    return ",".join(name for bit, name in shown_pairs if flags & bit)
