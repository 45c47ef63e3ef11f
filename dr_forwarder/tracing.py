"""Tracing: records of decisions out of the core's rings. With `dataplane`, `border` and `capturing`
the only importers of the extension; no cdata leaves them.
"""

from __future__ import annotations

from typing import Any

from . import border
from ._dataplane import ffi, lib
from .border import VERDICTS, WAYS
from .errors import check
from .records import Candidate, Filter, Losses, Record
from .table import Key

_LONGEST_WHY = 512
_CHUNK = 256
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp", 132: "sctp"}
_MAPPED_BITS = 96
"""An IPv4 address of sixteen bytes begins with so many bits that all of them have."""


class Trace:
    """One who watches: what the core told of decisions since it began, or since the last look."""

    def __init__(self, engine: Any, asked: Filter, *, room: int) -> None:
        self._engine = engine
        out = ffi.new("struct dr_trace **")
        check(lib.dr_trace_open(out, engine, _filter(asked), room), "cannot trace")
        self._trace = out[0]
        self._cursor = ffi.new("uint64_t *")
        self._records = ffi.new("struct dr_record[]", _CHUNK)
        self.losses = Losses()

    def read(self, *, epoch_ns: int = 0) -> tuple[Record, ...]:
        """At most 256 records, the oldest first; ``epoch_ns`` is when the clock was 0."""
        if self.closed:
            return ()
        losses = ffi.new("struct dr_trace_losses *")
        count = int(lib.dr_trace_read(self._trace, self._cursor, self._records, _CHUNK, losses))
        self.losses = Losses(self.losses.overwritten + losses.overwritten, int(losses.limited))
        return tuple(record(self._records[i], epoch_ns=epoch_ns) for i in range(count))

    @property
    def closed(self) -> bool:
        """True after ``close``, and when the engine has ended."""
        return self._trace is None

    def close(self) -> None:
        """Ends it; the core no longer makes records for it."""
        if self._trace is not None:
            lib.dr_trace_close(self._engine, self._trace)
            self._trace = None


def drops(engine: Any, *, epoch_ns: int) -> tuple[Record, ...]:
    """The last dropped frames of each verdict, by their time."""
    raw = ffi.new("struct dr_record[]", lib.DR_DROPS_KEPT)
    found = []
    for verdict in range(len(VERDICTS)):
        count = int(lib.dr_read_drops(engine, verdict, raw, lib.DR_DROPS_KEPT))
        found += [record(raw[i], epoch_ns=epoch_ns) for i in range(count)]
    return tuple(sorted(found, key=lambda each: (each.at_ns, each.frame)))


def _filter(asked: Filter) -> Any:
    raw = ffi.new("struct dr_trace_filter *")
    if asked.client is not None:
        raw.client = border.packed(asked.client.network_address)
        mapped_bits = _MAPPED_BITS if asked.client.version == 4 else 0
        raw.client_prefix = asked.client.prefixlen + mapped_bits
    if asked.address is not None:
        raw.address, raw.has_address = border.packed(asked.address), 1
    if asked.server is not None:
        raw.server, raw.has_server = border.packed(asked.server), 1
    raw.protocol = 0 if asked.protocol is None else border.PROTOCOLS[asked.protocol]
    raw.port = asked.port
    raw.verdicts = sum(1 << VERDICTS.index(verdict) for verdict in asked.verdicts)
    raw.first_only = asked.first_only
    raw.every, raw.per_s = asked.every, asked.per_s
    return raw


def _why(raw: Any) -> str:
    out = ffi.new("char[]", _LONGEST_WHY)
    length = int(lib.dr_explain(ffi.addressof(raw), out, _LONGEST_WHY))
    return bytes(ffi.buffer(out, length)).decode("ascii")


def _candidates(raw: Any) -> tuple[Candidate, ...]:
    shown = min(raw.candidate_count, len(raw.candidates))
    return tuple(
        Candidate(
            border.unpacked(bytes(each.address)),
            each.weight,
            each.active,
            each.inactive,
            bool(each.overloaded),
        )
        for each in raw.candidates[0:shown]
    )


def _service(raw: Any) -> Key | None:
    if not raw.has_service:
        return None
    protocol = border.PROTOCOL_NAMES[raw.service_protocol]
    return Key(protocol, border.unpacked(bytes(raw.service_address)), raw.service_port)


def _protocol(raw: Any) -> str:
    if raw.parsed == lib.DR_PARSED_ARP:
        return "arp"
    if raw.parsed < lib.DR_PARSED_ADDRESSES:
        return ""
    return _PROTOCOLS.get(raw.protocol, str(raw.protocol))


def record(raw: Any, *, epoch_ns: int) -> Record:
    """Reads a ``struct dr_record``."""
    has_flow = raw.parsed >= lib.DR_PARSED_ADDRESSES
    has_state = raw.protocol in border.PROTOCOL_NAMES and raw.parsed == lib.DR_PARSED_PORTS

    def state(present: int, number: int) -> str | None:
        return border.state_name(raw.protocol, number) if present and has_state else None

    return Record(
        frame=raw.frame,
        at_ns=epoch_ns + raw.time_ns,
        verdict=VERDICTS[raw.verdict],
        why=_why(raw),
        by=WAYS[raw.by],
        length=raw.length,
        head=bytes(ffi.buffer(raw.bytes, raw.captured)),
        before=bytes(raw.before)[: raw.captured],
        after=bytes(raw.after) if raw.sent else None,
        vlan=raw.vlan,
        protocol=_protocol(raw),
        client=border.unpacked(bytes(raw.client)) if has_flow else None,
        client_port=raw.client_port,
        address=border.unpacked(bytes(raw.address)) if has_flow else None,
        port=raw.port,
        service=_service(raw),
        scheduler=ffi.string(lib.dr_scheduler_name(raw.scheduler)).decode()
        if raw.has_service
        else None,
        server=border.unpacked(bytes(raw.server)) if raw.has_server else None,
        server_port=raw.server_port,
        server_mtu=raw.server_mtu,
        candidates=_candidates(raw),
        candidate_count=raw.candidate_count,
        chosen=raw.chosen if raw.chosen >= 0 else None,
        cursor_before=raw.cursor_before if raw.cursor_before >= 0 else None,
        cursor_after=raw.cursor_after if raw.cursor_after >= 0 else None,
        state_before=state(raw.connection_before, raw.state_before),
        state_after=state(raw.connection_after, raw.state_after),
        ttl_before=raw.ttl_before,
        ttl_after=raw.ttl_after,
    )
