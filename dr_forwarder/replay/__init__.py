"""Replay: what the director would have done with the frames of a capture file.

    from dr_forwarder import config, replay

    with replay.Replay(config.load(Path("ldirectord.cf")), Path("web.pcapng")) as run:
        for record in run.records():
            print(record.frame, record.verdict, record.why)
        print(run.summary().verdicts)

The core, the table and the scheduling are the running director's own; the clock is the capture's.
"""

from ..capturing import FlowChange, Report
from .run import Replay
from .summary import Mac, ServerCount, Summary
from .timeline import Turn
from .timeline import parse as parse_events

__all__ = [
    "FlowChange",
    "Mac",
    "Replay",
    "Report",
    "ServerCount",
    "Summary",
    "Turn",
    "parse_events",
]
