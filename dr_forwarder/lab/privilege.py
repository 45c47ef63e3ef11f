"""Privilege: how a process comes to own network namespaces, as root or as anybody.

A process without the capabilities enters a user namespace of its own, where it has them all.
It keeps the host's network: only the lab's worker threads go into new network namespaces.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from dr_forwarder.lab.errors import LabUnavailable

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

_CAP_NET_ADMIN = 12
_CAP_NET_RAW = 13
_CAP_SYS_ADMIN = 21

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Move the calling thread into new namespaces (``os.unshare`` is Python 3.12's)."""
    if _libc.unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def setns(fd: int, kind: int) -> None:
    """Move the calling thread into the namespace behind `fd`, which must be of that `kind`."""
    if _libc.setns(fd, kind) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def has_privileges() -> bool:
    """Say whether this process may make and configure network namespaces as it is."""
    needed = 1 << _CAP_NET_ADMIN | 1 << _CAP_NET_RAW | 1 << _CAP_SYS_ADMIN
    return _effective_capabilities() & needed == needed


def acquire_privileges() -> None:
    """Make sure of the capabilities a lab needs: nothing to do for root, else a user namespace.

    Without root it must come before the process has a second thread (the kernel's condition),
    so call it first thing in a program; a second call finds the work done.
    """
    if not has_privileges():
        enter_user_namespace()


def enter_user_namespace() -> None:
    """Put this process into a user namespace where its user is 0 and has all capabilities."""
    if len(os.listdir("/proc/self/task")) > 1:
        raise LabUnavailable(
            "the process already has threads, so it cannot enter a user namespace",
            cure="call dr_forwarder.lab.acquire_privileges() before anything starts one",
        )
    # A refusal half-way would leave the process a stranger in its new namespace: a child goes
    # first, all the way to the network namespace, where Ubuntu's AppArmor says no.
    refusal = _try_in_child()
    if refusal:
        raise _unavailable(refusal)
    _become_mapped_root()


def _become_mapped_root() -> None:
    user, group = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER)
    # user_namespaces(7): gid_map may be written without privilege only after setgroups "deny".
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def _try_in_child() -> int:
    """Go all the way in a forked child; 0 or the errno it met."""
    child = os.fork()
    if child == 0:
        # No exception may leave the child: it would run the caller's code a second time.
        status = errno.EIO
        try:
            _become_mapped_root()
            unshare(CLONE_NEWNET)
            status = 0
        except OSError as error:
            status = error.errno or errno.EIO
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _unavailable(refusal: int) -> LabUnavailable:
    said = os.strerror(refusal)
    for setting, closed, value in (
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("user.max_user_namespaces", "0", "10000"),
    ):
        if _sysctl(setting) == closed:
            return LabUnavailable(
                f"user namespaces are closed to ordinary users ({setting}={closed}: {said})",
                cure=f"run it as root, or once as root: sysctl -w {setting}={value}",
            )
    return LabUnavailable(
        f"a user namespace is refused ({said})",
        cure="run it as root; in a container, start that with --privileged",
    )


def _sysctl(name: str) -> str:
    try:
        return Path("/proc/sys", *name.split(".")).read_text().strip()
    except OSError:
        return ""


def _effective_capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0
