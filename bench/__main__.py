"""What `dr-forwarder bench` measures, and what can only be measured with the sources beside it.

python -m bench [--short] [--only SECTION] [--rounds N] [--real-time] [--json FILE] [--plot FILE]

Each row below is a section: a name, a sentence, and a function that is given the session (how long
to look, whom to tell of progress, the testbed) and gives back what it found.
"""

from __future__ import annotations

from bench import replay, scale, trace
from dr_forwarder.bench.model import Section
from dr_forwarder.bench.sections import SECTIONS
from dr_forwarder.bench.session import Session
from dr_forwarder.cli.bench import made

ALL: tuple[Section[Session], ...] = (
    *SECTIONS,
    Section("scale", "ten thousand servers to start with, two thousand checked", scale.section),
    Section("replay", "frames of a capture that are decided, and explained", replay.section),
    Section("trace", "what it costs to be watched", trace.section),
)

if __name__ == "__main__":
    made(ALL)(prog_name="python -m bench")
