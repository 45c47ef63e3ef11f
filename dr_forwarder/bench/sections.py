"""Sections: everything the benchmark measures, in its order. A new one is a row here.

What only makes sense with the sources beside it is a row of `bench/__main__.py` instead.
"""

from __future__ import annotations

from .bulk import bulk
from .costs import costs, tables, xdp
from .latency import awake, loaded, lone
from .model import Section
from .overload import overload
from .rates import new_connections, rates, sizes
from .scaling import workers
from .session import Session

SECTIONS: tuple[Section[Session], ...] = (
    Section("rates", "what goes through one CPU that receives, decides and sends", rates),
    Section("costs", "CPU time of a frame while frames always wait", costs),
    Section("xdp", "the same by AF_XDP", xdp),
    Section("latency", "how long a frame takes that comes alone", lone),
    Section("awake", "the same when the director is told to stay awake", awake),
    Section("load", "how long frames take at a tenth, half and nine tenths of the rate", loaded),
    Section("overload", "what is left of it when far more comes than it can take", overload),
    Section("new", "new connections", new_connections),
    Section("tables", "what more connections cost", tables),
    Section("workers", "what more forwarding threads bring, and what they cost", workers),
    Section("bulk", "an upload by TCP, offloads on, one arm", bulk),
    Section("sizes", "longer frames", sizes),
)
