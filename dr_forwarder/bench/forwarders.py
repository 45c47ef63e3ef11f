"""Forwarders: what the director is compared with on the testbed, and how each is started there.

Each is a function of a `Site` that gives, until its context ends, something that forwards; it
raises `Unavailable` where this host has not what it needs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from functools import partial
from subprocess import PIPE
from typing import Final

from .errors import BenchError, Unavailable
from .model import BY_XDP
from .native import BASELINES
from .others import ipvs, nftables, testpmd
from .site import LIMIT_S, Running, Site


@contextmanager
def _worker(name: str, site: Site) -> Iterator[Running]:
    argv = [sys.executable, "-m", "dr_forwarder.bench.worker", name, site.interface]
    argv += [",".join(map(str, site.cpus)), str(LIMIT_S), json.dumps(asdict(site.shape))]
    process = site.inside.popen(argv, stdout=PIPE)
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        if not first:
            raise BenchError(f"{name} did not start")
        if "unavailable" in (told := json.loads(first)):
            raise Unavailable(told["unavailable"])
        threads = told["threads"]
        running = Running(site.cpus, tuple(f"{process.pid}/task/{each}" for each in threads))
        yield running
        process.terminate()
        said, _ = process.communicate(timeout=LIMIT_S)
        running.said.update(json.loads(said))
    finally:
        process.terminate()
        process.wait(LIMIT_S)
        if process.stdout is not None:
            process.stdout.close()


Start = Callable[[Site], AbstractContextManager[Running]]

FORWARDERS: Final[Mapping[str, tuple[str, Start]]] = {
    "director": ("this project", partial(_worker, "director")),
    BY_XDP: ("this project by AF_XDP", partial(_worker, BY_XDP)),
    **{name: (what, partial(_worker, name)) for name, what in BASELINES.items()},
    "nftables": ("netdev rules: a hash of the flow, ether daddr set, fwd to; no state", nftables),
    "ipvs": ("kernel IPVS, direct routing, wrr", ipvs),
    "testpmd": ("dpdk-testpmd on net_af_packet, other MAC addresses, no decision", testpmd),
}
"""Of each name what it is, and how it starts. The director first."""
