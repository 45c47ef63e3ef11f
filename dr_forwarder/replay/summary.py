"""Summary: what a replay came to, as data and as lines to read. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..capturing import FlowChange, Report
from ..endpoints import Address, endpoint
from ..table import Counters, Key
from .faults import kind_of

_SECOND_NS = 10**9


@dataclass(frozen=True, slots=True)
class Mac:
    """A MAC address, and how it is known."""

    mac: bytes
    source: str
    """``arp`` (or neighbour discovery), ``frames`` that went there, ``made up``, ``given``,
    ``this host``."""

    def __str__(self) -> str:
        return f"{self.mac.hex(':')} ({self.source})"


@dataclass(frozen=True, slots=True)
class ServerCount:
    """What a real server of a service got, also while it was taken out and put in again."""

    service: Key
    server: Address
    counters: Counters


@dataclass(frozen=True, slots=True)
class Summary:
    """``report.frames == sum(verdicts.values())``."""

    report: Report
    verdicts: Mapping[str, int]
    servers: tuple[ServerCount, ...]
    created: int
    """Connections, and templates of persistence."""
    connections: int
    """In the table at the end."""
    director: Mac
    macs: Mapping[Address, Mac]
    turns_left: int
    """Turns of the time line that come after the last frame."""
    problem: str | None
    """Why the capture could not be read to its end."""


def lines(summary: Summary) -> Iterator[str]:
    """The summary to read; every frame is in one of the verdicts."""
    report = summary.report
    yield f"{report.frames:>10} frames in {report.took_ns / _SECOND_NS:.6f} s, of which"
    yield from (f"{count:>10} {name}" for name, count in summary.verdicts.items() if count)
    yield f"{report.sent:>10} frames and answers sent"
    yield f"{summary.created:>10} connections made, {summary.connections} left at the end"
    yield ""
    yield f"The director is {summary.director}."
    yield f"{'frames':>10} {'connections':>11} {'bytes':>12}  real server"
    yield from (_server(summary, each) for each in summary.servers)
    yield ""
    yield from _flows(report)
    yield from _oddities(summary)


def _server(summary: Summary, count: ServerCount) -> str:
    got = count.counters
    where = f"{count.service} -> {count.server}"
    mac = summary.macs.get(count.server)
    return f"{got.packets:>10} {got.connections:>11} {got.bytes:>12}  {where}, MAC {mac}"


def _flows(report: Report) -> Iterator[str]:
    more = f", {report.forgotten} of them forgotten meanwhile" if report.forgotten else ""
    yield f"{report.flows} flows{more}; {report.changed or 'none'} changed its real server."
    yield from (_change(each, report) for each in report.changes)
    if report.changed > len(report.changes):
        yield f"  ... and {report.changed - len(report.changes)} more"


def _change(each: FlowChange, report: Report) -> str:
    client = endpoint(each.client, each.client_port)
    vip = endpoint(each.address, each.port)
    at_s = (each.at_ns - report.began_ns) / _SECOND_NS
    return (
        f"  {each.protocol} {client} -> {vip}: from {each.before} to {each.after}"
        f" at frame {each.frame}, {at_s:.6f} s ({each.by})"
    )


def _oddities(summary: Summary) -> Iterator[str]:
    report = summary.report
    for link, frames in report.foreign:
        count = "1 frame that is" if frames == 1 else f"{frames} frames that are"
        yield f"Left out, because they are not Ethernet: {count} {kind_of(link)}."
    if report.backwards:
        yield f"{report.backwards} frames are older than the frame before them."
    if report.leaps:
        yield f"{report.leaps} pauses are longer than 60 days, and were cut to that."
    if report.joined:
        yield f"{report.joined} frames are longer than the MTU: segments that offloads joined."
    if summary.turns_left:
        yield f"{summary.turns_left} turns of the time line come after the last frame."
    if report.frames and summary.director.source == "made up":
        yield (
            "The capture does not show the VIPs' MAC address, so no frame can be meant for the"
            " director; say it with --mac."
        )
