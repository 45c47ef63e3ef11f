"""Steer: makes one CPU do the receiver's part of an interface's work, as a network card would.

    python -m dr_forwarder.bench.steer INTERFACE MASK

On a veth pair the sender's CPU does it otherwise, up to the receiver's socket, so that one CPU can
never send as much as another can forward. It is receive packet steering (the kernel's
Documentation/networking/scaling.rst), whose file is only in a sysfs that was mounted in the same
network namespace: this program mounts one in a mount namespace of its own.
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


def main(interface: str, mask: str) -> int:
    """The program: 0 when it is done, 1 when the host does not let us."""
    try:
        unshare(_CLONE_NEWNS)
        _mount(None, b"/", _MS_REC | _MS_PRIVATE)
        _mount(b"sysfs", b"/sys", 0)
        for queue in Path(f"/sys/class/net/{interface}/queues").glob("rx-*/rps_cpus"):
            queue.write_text(mask)
    except PermissionError as error:
        print(f"steering it to another CPU needs root ({error})")
        return 1
    except OSError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
