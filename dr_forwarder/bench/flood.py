"""Flood: more frames a second than the generator makes, by copies that the kernel makes.

The generator sends into a veth pair of its own, at whose other end a program copies each frame to
the interface that leads to the forwarder. Needs root, as every eBPF program does.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pyroute2 import IPRoute

from .. import bpf
from ..ebpf import EXIT, Instruction, call, copy, move
from ..lab.namespace import Namespace
from .errors import Unavailable
from .generator import Generator

COPIES = 8
"""Of each frame. More of them go no faster: the copies themselves take the time."""

_INTO, _OUT_OF = "flood0", "flood1"
_CLONE_REDIRECT = 13  # bpf-helpers(7)
_DROP = 2  # TCX_DROP


@contextmanager
def flooding(inside: Namespace, to: str, cpu: int) -> Iterator[Generator]:
    """A generator of whose frames ``COPIES`` leave by ``to``; raises Unavailable."""
    with ExitStack() as cleanup:
        inside.run(_add_pair)
        cleanup.callback(inside.run, _remove_pair)
        try:
            inside.run(_attach, to, cleanup)
        except OSError as error:
            raise Unavailable(f"no copies of frames: {error.strerror}") from error
        yield cleanup.enter_context(Generator(inside, _INTO, cpu))


def _add_pair() -> None:
    with IPRoute() as netlink:
        netlink.link("add", ifname=_INTO, kind="veth", peer={"ifname": _OUT_OF})
        for name in (_INTO, _OUT_OF):
            netlink.link("set", index=socket.if_nametoindex(name), state="up")


def _remove_pair() -> None:
    with IPRoute() as netlink:
        netlink.link("del", index=socket.if_nametoindex(_INTO))


def _attach(to: str, cleanup: ExitStack) -> None:
    """Until the cleanup."""
    program = bpf.load(bpf.SCHED_CLS, _copying(socket.if_nametoindex(to)))
    cleanup.callback(os.close, program)
    link = bpf.link(program, socket.if_nametoindex(_OUT_OF), bpf.TCX_INGRESS)
    cleanup.callback(os.close, link)


def _copying(to: int) -> tuple[Instruction, ...]:
    one = (copy(1, 6), move(2, to), move(3, 0), call(_CLONE_REDIRECT))
    return (copy(6, 1), *(one * COPIES), move(0, _DROP), EXIT)
