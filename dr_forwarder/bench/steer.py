"""Steer: says who does the receiver's part of an interface's work.

    python -m dr_forwarder.bench.steer INTERFACE rps MASK
    python -m dr_forwarder.bench.steer INTERFACE threaded 0|1

On a veth pair the sender's CPU does it otherwise, up to the receiver's socket, so that one CPU can
never send as much as another can forward. `rps` has other CPUs do it in softirq, as a network card
would (receive packet steering, the kernel's Documentation/networking/scaling.rst), `threaded` a
thread of the kernel (threaded NAPI, Documentation/networking/napi.rst). Their files are only in a
sysfs that was mounted in the same network namespace: this program mounts one in a mount namespace
of its own.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from ..lab.privilege import unshare

_CLONE_NEWNS = 0x00020000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000

_libc = ctypes.CDLL(None, use_errno=True)


def _mount(kind: bytes | None, where: bytes, flags: int) -> None:
    if _libc.mount(kind, where, kind, ctypes.c_ulong(flags), None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount {where.decode()}: {os.strerror(number)}")


_FILES = {"rps": "queues/rx-*/rps_cpus", "threaded": "threaded"}


def main(interface: str, what: str, value: str) -> int:
    """The program: 0 when it is done, 1 when the host does not let us."""
    try:
        unshare(_CLONE_NEWNS)
        _mount(None, b"/", _MS_REC | _MS_PRIVATE)
        _mount(b"sysfs", b"/sys", 0)
        for file in Path(f"/sys/class/net/{interface}").glob(_FILES[what]):
            file.write_text(value)
    except PermissionError as error:
        print(f"steering it to another CPU needs root ({error})")
        return 1
    except OSError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
