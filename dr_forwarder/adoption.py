"""Adoption: the state file of an earlier process taken over, converted, or put aside.

Connections are clients' sessions: as many as can be had are, and what is lost is told.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import own_files, region
from ._dataplane import ffi, lib
from .errors import SetupError, check

ASIDE = ".old"
"""What a file that could not be adopted is called then, behind its name; there is one at most."""

_OTHER_PLACE = "or choose another place: --state-dir DIR"


@dataclass(frozen=True, slots=True)
class Adoption:
    """What became of what an earlier process left."""

    adopted: bool = False
    connections: int = 0
    """Taken over."""
    lost: int = 0
    """By the file's own count, but damaged, or without room now."""
    put_right: int = 0
    """Services and servers that contradicted the rest."""
    before: int | None = None
    """The room for connections that the file had, if it was another."""
    refused: str | None = None
    """Why the file was not taken over."""
    aside: Path | None = None
    """Where that is now; None if it is gone."""

    @property
    def harmed(self) -> bool:
        """Whether an operator should know of it."""
        return bool(self.lost or self.put_right or self.refused)

    def told(self) -> str | None:
        """One line for the log; None if there was nothing."""
        if self.refused:
            where = f"; it is {self.aside} now" if self.aside else ""
            return f"State file made anew, connections are not taken over: {self.refused}{where}"
        if not self.adopted:
            return None
        return "; ".join([f"Took over {self.connections} connections", *self._harm()])

    def _harm(self) -> Iterator[str]:
        if self.before is not None and self.lost:
            yield f"{self.lost} more found no room: there was room for {self.before} before"
        elif self.lost:
            yield f"{self.lost} more were damaged and are lost"
        if self.put_right:
            yield f"{self.put_right} services and servers were damaged and are made anew"


def opened(path: Path | None, limits: Any, now_ns: int) -> tuple[mmap.mmap, Adoption]:
    """The region for a ``struct dr_limits``, whose services and servers it may raise.

    Raises SetupError with the cure.
    """
    if path is None:
        return region.plain(_size(limits)), Adoption()
    try:
        return _opened(path, limits, now_ns)
    except OSError as error:
        raise SetupError(_cure(path, limits, error)) from error


def _opened(path: Path, limits: Any, now_ns: int) -> tuple[mmap.mmap, Adoption]:
    look = _look(path, limits)
    match None if look is None else look.state:
        case lib.DR_STATE_OURS:
            return region.allocated(path, _size(limits)), Adoption(adopted=True)
        case lib.DR_STATE_OTHER_ROOM:
            limits.services = max(limits.services, look.services)
            limits.servers = max(limits.servers, look.servers)
            return _converted(path, limits, look, now_ns)
        case None | lib.DR_STATE_NONE:
            own_files.removed(path)
            return _fresh(path, limits), Adoption()
    reason = _reason(path, look)
    aside = None
    if look.state != lib.DR_STATE_OTHER_CLOCK:
        aside = _put_aside(path)
    else:
        own_files.removed(path)
    memory = _fresh(path, limits)
    kept = aside if aside is not None and own_files.status(aside) else None
    return memory, Adoption(refused=reason, aside=kept)


def _size(limits: Any) -> int:
    return int(lib.dr_state_size(limits))


def _look(path: Path, limits: Any) -> Any:
    """A ``struct dr_state_look``; None where there is no file."""
    look = ffi.new("struct dr_state_look *")
    look.state = lib.DR_STATE_DAMAGED
    try:
        with open(own_files.opened(path, os.O_RDONLY), "rb") as file:
            size = file.seek(0, 2)
            if size == 0:
                return None
            with (
                mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as memory,
                ffi.from_buffer(memory) as raw,
            ):
                lib.dr_state_look(raw, size, limits, look)
    except FileNotFoundError:
        return None
    except (own_files.NotOursError, IsADirectoryError):
        return look
    return look


def _reason(path: Path, look: Any) -> str:
    of = f"{look.count} connections" if look.count else "its connections"
    match look.state:
        case lib.DR_STATE_OTHER_CLOCK if not region.boot_id():
            return f"without /proc nobody can tell whether {of} are of before a reboot"
        case lib.DR_STATE_OTHER_CLOCK:
            return f"the machine has started anew since; {of} of before ended with it"
        case lib.DR_STATE_OTHER_FORMAT:
            return (
                f"{path} is of another version of the director (format {look.format}), and {of}"
                " cannot be read by this one"
            )
    return f"{path} is damaged, or no state file"


def _fresh(path: Path, limits: Any) -> mmap.mmap:
    """A file of zeros; what was put aside goes where there is no room for both."""
    try:
        return region.allocated(path, _size(limits))
    except OSError as error:
        aside = path.with_name(path.name + ASIDE)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not _is_file(aside):
            raise
        own_files.removed(aside)
        return region.allocated(path, _size(limits))


def _is_file(path: Path) -> bool:
    found = own_files.status(path)
    return found is not None and stat.S_ISREG(found.st_mode)


def _put_aside(path: Path) -> Path | None:
    aside = path.with_name(path.name + ASIDE)
    try:
        own_files.renamed(path, aside)
    except OSError:
        own_files.removed(path)
        return None
    return aside


def _converted(path: Path, limits: Any, look: Any, now_ns: int) -> tuple[mmap.mmap, Adoption]:
    """The old file stays until the new one has everything, unless there is no room for both."""
    new = path.with_name(path.name + ".new")
    own_files.removed(new)
    old = region.copied(path)
    size = _size(limits)
    try:
        memory = region.allocated(new, size)
    except OSError as error:
        has_room = (region.free_bytes(path.parent) or 0) + path.stat().st_blocks * 512 >= size
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not has_room:
            raise
        own_files.removed(path)
        memory = region.allocated(new, size)
    out = ffi.new("struct dr_adoption *")
    with (
        ffi.from_buffer(old, require_writable=True) as source,
        ffi.from_buffer(memory, require_writable=True) as to,
    ):
        result = lib.dr_state_convert(source, len(old), to, size, limits, now_ns, out)
    old.close()
    check(result, f"state file {path}: cannot be converted")
    own_files.renamed(new, path)
    before = look.connections if look.connections > limits.connections else None
    return memory, Adoption(True, out.connections, out.lost, out.put_right, before)


def completed(adoption: Adoption, engine: Any) -> Adoption:
    """With what the core found when it took the region."""
    if not adoption.adopted:
        return adoption
    out = ffi.new("struct dr_adoption *")
    lib.dr_engine_adoption(engine, out)
    return replace(
        adoption,
        connections=out.connections,
        lost=adoption.lost + out.lost,
        put_right=adoption.put_right + out.put_right,
    )


# ---- Cures ----


def _cure(path: Path, limits: Any, error: OSError) -> str:
    size = region.megabytes(_size(limits))
    match error.errno:
        case errno.ENOSPC if not region.can_hold_another_file(path.parent):
            return (
                f"state file {path}: the file system of {path.parent} has no room for another file"
                f" (df -i); remove some there, {_OTHER_PLACE}"
            )
        case errno.ENOSPC | errno.EDQUOT:
            free = region.free_bytes(path.parent)
            there = "" if free is None else f", of which {region.megabytes(free)} are free"
            what = "quota" if error.errno == errno.EDQUOT else "file system"
            return (
                f"state file {path} takes {size}: too much for the {what} of {path.parent}{there};"
                f" make room there, {_fewer(limits, free)}{_OTHER_PLACE}"
            )
        case errno.EFBIG:
            return (
                f"state file {path} takes {size}, more than a file may have: raise the limit"
                f" (ulimit -f, LimitFSIZE=), {_fewer(limits, None)}{_OTHER_PLACE}"
            )
    return f"state file {path}: {error.strerror}; {_OTHER_PLACE.removeprefix('or ')}"


def _fewer(limits: Any, free: int | None) -> str:
    """What of `connections` would fit, in powers of two; nothing if none does."""
    if free is None:
        return "set a smaller `connections =`, "
    less = ffi.new("struct dr_limits *", limits[0])
    for bits in range(limits.connections.bit_length() - 1, 9, -1):
        less.connections = 1 << bits
        if less.connections < limits.connections and _size(less) <= free:
            return f"set `connections = {1 << bits}` under [director], "
    return ""
