"""Prints docs/reference.md from the tables that the program itself uses: `make docs` writes it."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from dr_forwarder import checks
from dr_forwarder.config import vip_checks
from dr_forwarder.config.deviations import DEVIATIONS
from dr_forwarder.config.directive import Directive, Level
from dr_forwarder.config.directives import CHECK_PORTS, DIRECTIVES
from dr_forwarder.config.model import CheckType
from dr_forwarder.config.native import DIRECTOR, MARK, REAL
from dr_forwarder.config.needs import LIBRARIES
from dr_forwarder.config.support import OTHERWISE, SCHEDULERS
from dr_forwarder.exposition import DURATION, DURATION_LABELS, DURATION_TEXT
from dr_forwarder.metrics import FAMILIES, PREFIX

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from records.deviations import (  # noqa: E402 - the path comes first
    DATAGRAMS,
    FRAMES,
    LATE,
    MESSAGES,
    MISREAD,
    ORDER,
    OUT,
    OUTCOMES,
    PIECES_COUNTED,
    REFUSED,
)

_LEVELS = {Level.GLOBAL: "global", Level.VIRTUAL: "virtual", Level.BOTH: "both"}


def reference() -> str:
    """The whole page."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield "# Reference"
    yield ""
    yield "Made from the program's own tables by `make docs`; a test holds it against them."
    yield ""
    yield from _what_can_be_said()
    yield from _what_is_checked()
    yield from _what_is_done()
    yield from _what_is_shown()
    yield from _what_ipvs_does()


def _what_can_be_said() -> Iterator[str]:
    yield "## ldirectord's directives"
    yield ""
    yield "*both*: global, and for one virtual service, which then overrules it."
    yield ""
    yield from _directives(ours=False)
    yield "## Directives of ours"
    yield ""
    yield "ldirectord has none of these, and refuses a file with one; all are off by default."
    yield ""
    yield from _directives(ours=True)
    for title, rows in (
        ("The native form: `[director]`", DIRECTOR),
        ("`[[virtual.real]]`", REAL),
        ("`[[mark]]`", MARK),
    ):
        yield f"## {title}"
        yield ""
        yield from _table(
            ("key", "default", "what it does"),
            ((f"`{row.name}`", _default(row), row.help) for row in rows),
        )


def _what_is_checked() -> Iterator[str]:
    yield "## Checks"
    yield ""
    yield (
        "Each goes to `checkport`, else the real server's port, else the usual one of its service;"
        " over IPv4 and IPv6 alike, and never beyond its time limit. Those with a library need"
        " `pip install 'dr-forwarder[checks]'`. *VIP*: can go through the VIP."
    )
    yield ""
    yield from _table(
        ("check", "usual port", "what is asked", "what passes", "library", "time limit", "VIP"),
        (*_negotiated(), *_other_checks()),
    )


def _what_is_done() -> Iterator[str]:
    yield "## Schedulers"
    yield ""
    yield "In kernel IPVS's order, to the pick: " + ", ".join(f"`{name}`" for name in SCHEDULERS)
    yield ""
    yield "## Accepted, and done otherwise"
    yield ""
    yield from _table(("what", "instead"), ((f"`{a}`", b) for a, b in OTHERWISE.items()))


def _what_is_shown() -> Iterator[str]:
    yield "## Verdicts"
    yield ""
    yield "Every frame ends in exactly one of them; `dr-forwarder list --verdicts` counts."
    yield ""
    yield from _table(("verdict", "meaning"), _verdicts())
    yield "## Metrics"
    yield ""
    yield "At `/metrics` of `run --listen ADDR:PORT`, with `process_*` of the director's process."
    yield ""
    yield from _table(("metric", "kind", "labels", "meaning"), _metrics())


def _what_ipvs_does() -> Iterator[str]:
    yield "## What of kernel IPVS is covered"
    yield ""
    yield from _table(("what", "how far", "held by"), _coverage())
    yield "## Where it differs from kernel IPVS on purpose"
    yield ""
    yield "Everything else is compared with recordings of the kernel and must be equal."
    yield ""
    yield from (f"- {_sentence(rule.reason)}" for rule in (*OUTCOMES, *DATAGRAMS, *FRAMES))
    yield from (f"- {_sentence(reason)}" for reason in _REASONS)


_REASONS = (PIECES_COUNTED, MISREAD, OUT, LATE, REFUSED, ORDER, MESSAGES)


_LIMITS = {True: "`checktimeout`", False: "`negotiatetimeout`"}


def _negotiated() -> Iterator[tuple[str, ...]]:
    for service, name in sorted(checks.MODULES.items()):
        module = importlib.import_module(f"dr_forwarder.checks.{name}")
        yield (
            f"`service={service}`",
            str(CHECK_PORTS.get(service, "")),
            *_said(module.__doc__, module.check.__doc__),
            LIBRARIES.get(service, ""),
            _LIMITS[service in checks.AS_CONNECT],
            "yes" if service in vip_checks.SERVICES else "",
        )


def _other_checks() -> Iterator[tuple[str, ...]]:
    for kind, check in checks.KINDS.items():
        module = sys.modules[check.__module__]
        if module is checks:
            continue
        each = " for each of `checkcount` tries" if kind is CheckType.PING else ""
        yield (
            f"`checktype={kind.value}`",
            "",
            *_said(module.__doc__, check.__doc__),
            "",
            _LIMITS[True] + each,
            "yes" if kind is CheckType.CONNECT else "",
        )


def _said(asked: str | None, passes: str | None) -> tuple[str, str]:
    """The first paragraphs, without the title and "Passes"."""
    title, _, what = _first_paragraph(asked).partition(": ")
    return f"{title}: {what}", _sentence(_first_paragraph(passes).removeprefix("Passes "))


def _first_paragraph(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split()).replace("``", "`")


def _directives(*, ours: bool) -> Iterator[str]:
    titles = ("directive", "level", "default", "what it does")
    rows = [row for row in DIRECTIVES if row.ours is ours]
    if ours:
        return _table(titles, (_directive(row) for row in rows))
    return _table(
        (*titles, "otherwise than in ldirectord"),
        ((*_directive(row), DEVIATIONS.get(row.name, "")) for row in rows),
    )


def _directive(row: Directive) -> tuple[str, str, str, str]:
    return f"`{row.name}`", _LEVELS[row.level], _default(row), row.help


_COVERED = (
    ("schedulers, with flags, weights 0, changes while running", "all", "pick_*"),
    ("slow start, which the kernel has not", "off by default", "test_slow_start.py"),
    (
        "states and time-outs of TCP, `--set`",
        "all that one side shows",
        "tcp_* timeouts_* timers_*",
    ),
    ("SCTP", "states and time-outs", "sctp_* test_sctp.py"),
    ("UDP, one-packet scheduling", "all", "udp_* ops_*"),
    ("persistence: netmasks, prefix lengths, port 0, FTP", "all but engines", "persist_*"),
    ("thresholds", "all", "threshold_*"),
    ("removed servers, and those that return", "all", "nodest_*"),
    ("`conn_reuse_mode`", "all", "conn_reuse_*"),
    ("other sysctls", "those under `[director]` above", "test_tuning.py"),
    ("firewall marks", "from rules, without a firewall", "fwmark_* test_marks.py"),
    ("frames of TCP and UDP, IP options, TTL, padding", "all", "frames_tcp frames_udp"),
    ("ARP, neighbour discovery", "of VIPs", "frames_arp test_nd.py"),
    ("ICMP errors about connections, `schedule_icmp`", "all", "frames_icmp_related"),
    ("errors to clients, and their rate", "all", "test_icmp.py"),
    ("MTU of the interface, jumbo frames", "all", "frames_jumbo_in"),
    ("MTU of routes", "all but fragmenting", "test_icmp.py lab/test_director.py"),
    ("fragments", "passed on, not collected", "test_fragments.py records"),
    ("IPv6", "all", "frames_v6 test_core_ipv6.py lab/test_ipv6.py"),
    ("802.1Q, QinQ", "the configured VLAN", "test_vlan.py lab/test_tagged.py"),
    ("forwarding `gate`", "to neighbours", "lab/test_director.py"),
    (
        "local real servers",
        "unchanged into the local stack; its answers are not looked at",
        "test_local.py lab/test_serving.py",
    ),
    ("forwarding `masq`, `ipip`", "no", ""),
    (
        "`drop_entry`, `drop_packet`, `secure_tcp`",
        "all modes; the table's room counts too",
        "test_defense.py test_tuning.py",
    ),
    (
        "connections nobody goes on with",
        "differently: they have a share of the table, and the oldest goes (`unproved_share`)",
        "test_connections.py c/test_unproved.c",
    ),
    ("rates", "all", "rates cli_big_numbers"),
    ("synchronisation, versions 1 and 0", "all", "sync_* lab/test_pair.py"),
    ("ipvsadm 1.31, files under /proc/net", "all texts", "cli_* lab/test_driven.py"),
    ("persistence engines", "no", ""),
)
"""What, how far, and the recordings or tests that hold it."""


def _coverage() -> Iterator[tuple[str, str, str]]:
    for what, far, held in _COVERED:
        for name in held.split():
            if name.endswith(".py") and not (ROOT / "tests" / name).exists():
                raise FileNotFoundError(name)
        yield what, far, " ".join(f"`{name}`" for name in held.split())


def _default(row: Directive) -> str:
    match row.default:
        case None | "" | ():
            return ""
        case bool():
            return "yes" if row.default else "no"
        case tuple():
            return f"`{','.join(row.default)}`"
    return f"`{row.default}`"


def _verdicts() -> Iterator[tuple[str, str]]:
    header = (ROOT / "csrc" / "dr.h").read_text()
    enum = header[header.index("enum dr_verdict {") : header.index("DR_VERDICTS,")]
    for name, meaning in re.findall(r"DR_(\w+),\s*/\* (.+?) \*/", enum):
        yield f"`{name.lower()}`", meaning


def _metrics() -> Iterator[tuple[str, str, str, str]]:
    for row in FAMILIES:
        yield f"`{row.whole_name}`", row.kind.value, _words(row.labels), row.text
    yield f"`{PREFIX}{DURATION}`", "histogram", _words(DURATION_LABELS), DURATION_TEXT


def _words(names: tuple[str, ...]) -> str:
    return " ".join(f"`{name}`" for name in names)


def _sentence(reason: str) -> str:
    return reason[0].upper() + reason[1:]


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(titles) + " |"
    yield "| " + " | ".join("---" for _ in titles) + " |"
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
    yield ""


if __name__ == "__main__":
    print(reference(), end="")
