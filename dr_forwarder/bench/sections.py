"""Sections: everything the benchmark measures, in its order. A new one is a row here.

What only makes sense with the sources beside it is a row of `bench/__main__.py` instead.
"""

from __future__ import annotations

from .model import Section
from .rates import costs, rates, sizes
from .session import Session

SECTIONS: tuple[Section[Session], ...] = (
    Section("rates", "what goes through one CPU that receives, decides and sends", rates),
    Section("sizes", "the same with longer frames", sizes),
    Section("costs", "CPU time of a frame while frames always wait", costs),
)
