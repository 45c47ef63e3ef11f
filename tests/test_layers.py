"""The direction of dependencies, checked: a file may use only what is listed for it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CSRC = ROOT / "csrc"
PACKAGE = ROOT / "dr_forwarder"

# ---- C: the table is the architecture, from the bottom up ----

PLAIN = {"stdbool.h", "stddef.h", "stdint.h", "string.h"}
SYSTEM = {
    "arpa/inet.h",
    "linux/if_packet.h",
    "linux/if_xdp.h",
    "linux/virtio_net.h",
    "net/ethernet.h",
    "poll.h",
    "sys/eventfd.h",
    "sys/mman.h",
    "sys/socket.h",
    "sys/time.h",
    "unistd.h",
}
MEMORY = {"errno.h", "stdlib.h"}

C_LAYERS: dict[str, set[str]] = {
    "dr": {"stddef.h", "stdint.h"},
    "headers": {"packet.h"},
    "transport": {"headers.h"},
    "ipv4": {"headers.h"},
    "ipv6": {"headers.h"},
    "packet": PLAIN | {"headers.h"},
    "mix": PLAIN | {"packet.h"},
    "icmp": PLAIN | {"mix.h", "packet.h"},
    "reset": PLAIN | {"packet.h"},
    "states": PLAIN | {"dr.h", "packet.h"},
    "rates": PLAIN | {"dr.h", "table.h"},
    "table": PLAIN | MEMORY | {"dr.h", "packet.h", "rates.h", "schedulers/schedulers.h"},
    "schedulers": PLAIN | MEMORY | {"dr.h", "packet.h", "table.h"},
    "thresholds": {"table.h"},
    "slots": PLAIN | {"table.h"},
    "changes": PLAIN | MEMORY | {"schedulers/schedulers.h", "slots.h", "table.h"},
    "announce": PLAIN | {"dr.h", "icmp.h", "packet.h", "table.h"},
    "fragments": PLAIN | MEMORY | {"dr.h", "mix.h", "packet.h", "table.h"},
    "connections": PLAIN
    | {"dr.h", "entries.h", "mix.h", "packet.h", "states.h", "table.h", "thresholds.h"},
    "entries": {"connections.h"},
    "unproved": {"entries.h"},
    "wheel": {"entries.h"},
    "life": {"entries.h", "states.h", "thresholds.h"},
    "sweep": {"connections.h"},
    "dr_trace": {"dr.h"},
    "journal": PLAIN | MEMORY | {"dr_trace.h"},
    "foreign": PLAIN | {"slots.h", "table.h"},
    "sync_message": PLAIN | {"packet.h"},
    "defense": PLAIN | {"connections.h", "dr.h", "states.h", "table.h"},
    "director": {"connections.h", "defense.h", "dr.h", "icmp.h", "table.h"},
    "watchers": PLAIN | MEMORY | {"dr_trace.h", "journal.h", "packet.h"},
    "record": {"dr_trace.h", "table.h", "watchers.h"},
    "trace": PLAIN | MEMORY | {"director.h", "dr_trace.h", "journal.h", "record.h", "watchers.h"},
    "schedule": PLAIN | {"director.h", "schedulers/schedulers.h", "states.h", "trace.h"},
    "sync": PLAIN | MEMORY | {"director.h", "schedule.h", "states.h", "sync_message.h"},
    "sync_backup": {"director.h", "foreign.h", "slots.h", "states.h", "sync_message.h"},
    "answer": {"announce.h", "director.h", "reset.h"},
    "deliver": PLAIN | {"answer.h", "director.h", "trace.h"},
    "fate": {"deliver.h", "director.h", "fragments.h"},
    "forward_icmp": {"answer.h", "deliver.h", "director.h", "fate.h", "icmp.h", "schedule.h"},
    "forward": PLAIN
    | {"announce.h", "answer.h", "deliver.h", "director.h", "fate.h", "forward_icmp.h", "icmp.h"}
    | {"schedule.h", "sync.h", "trace.h"},
    "listing": PLAIN | {"director.h"},
    "mend": PLAIN | {"connections.h", "entries.h", "states.h"},
    "mend_table": PLAIN | MEMORY | {"mend.h", "schedulers/schedulers.h", "slots.h"},
    "state": PLAIN | {"director.h", "mend.h"},
    "convert": PLAIN | {"errno.h", "state.h"},
    "io": {"dr.h"},
    "waiting": PLAIN | SYSTEM | {"errno.h"},
    "io_memory": PLAIN | MEMORY | SYSTEM | {"io.h", "waiting.h"},
    "rings": PLAIN | SYSTEM | {"errno.h", "io.h"},
    "io_ring": PLAIN | MEMORY | SYSTEM | {"rings.h", "sctp_crc.h", "waiting.h"},
    "finish": PLAIN | {"packet.h"},
    "sctp_crc": PLAIN,
    "xsk": PLAIN | MEMORY | SYSTEM | {"dr.h"},
    "io_xdp": PLAIN | MEMORY | {"finish.h", "io.h", "xsk.h"},
    "spin": {"pthread.h"},
    "engine": PLAIN
    | MEMORY
    | {"changes.h", "director.h", "fragments.h", "io.h", "pthread.h", "state.h", "sync.h"}
    | {"spin.h", "time.h", "trace.h"},
    "loop": PLAIN
    | {"engine.h", "errno.h", "forward.h", "sched.h", "sys/sysinfo.h", "time.h", "unistd.h"},
    "syncing": PLAIN | {"dr.h", "engine.h", "errno.h", "sync.h", "sync_backup.h"},
    "looks": {"dr.h", "engine.h", "listing.h", "schedulers/schedulers.h"},
    "text": PLAIN | {"packet.h"},
    "explain": PLAIN | {"dr_trace.h", "packet.h", "schedulers/schedulers.h", "text.h"},
    "capture": PLAIN | {"dr_trace.h"},
    "pcapng": PLAIN,
    "flows": PLAIN | MEMORY | {"dr_trace.h"},
    "survey": PLAIN | MEMORY | {"capture.h", "dr_trace.h", "packet.h"},
    "replay": PLAIN | MEMORY | {"capture.h", "dr_trace.h", "explain.h", "flows.h", "pcapng.h"},
    "bench": PLAIN
    | MEMORY
    | SYSTEM
    | {"io.h", "linux/filter.h", "packet.h", "sys/uio.h", "time.h"},
    "tracing": {"dr_trace.h", "engine.h", "explain.h", "pcapng.h", "trace.h"},
}

PURE_FUNCTIONS = {
    *("packet", "icmp", "reset", "states", "sync_message", "text", "explain", "capture", "pcapng"),
    *("finish", "mix", "sctp_crc"),
}
"""Bytes and numbers in, bytes and numbers out: they keep nothing and allocate nothing."""


def layer(path: Path) -> str:
    """All files of a folder are one layer; what cffi generates is none."""
    return path.parent.name if path.parent != CSRC else path.stem


C_FILES = sorted(path for path in CSRC.rglob("*.[ch]") if not path.stem.startswith("_"))


@pytest.mark.parametrize("path", C_FILES, ids=lambda path: str(path.relative_to(CSRC)))
def test_a_c_file_includes_only_what_is_below_it(path: Path) -> None:
    included = set(re.findall(r'^#include ["<](.+?)[">]', path.read_text(), re.MULTILINE))
    same_folder = (
        {header.name for header in path.parent.glob("*.h")} if path.parent != CSRC else set()
    )
    assert included - {f"{path.stem}.h"} - same_folder <= C_LAYERS[layer(path)]


def test_every_layer_has_its_files() -> None:
    assert {layer(path) for path in C_FILES} == set(C_LAYERS)


def test_only_the_ends_and_the_engine_know_the_system() -> None:
    outside = SYSTEM | {"pthread.h", "time.h"}
    assert {name for name, allowed in C_LAYERS.items() if allowed & outside} == {
        "bench",
        "engine",
        "io_memory",
        "io_ring",
        "loop",
        "rings",
        "spin",
        "waiting",
        "xsk",
    }


def test_what_only_computes_takes_no_memory() -> None:
    for name in PURE_FUNCTIONS:
        assert not C_LAYERS[name] & MEMORY


SCHEDULER_FILES = [path for path in C_FILES if layer(path) == "schedulers"]


@pytest.mark.parametrize(
    "path",
    [path for path in SCHEDULER_FILES if "\nconst struct scheduler scheduler_" in path.read_text()],
    ids=lambda path: path.name,
)
def test_a_scheduler_knows_no_other_scheduler(path: Path) -> None:
    """They share the hash and the locality table, and a header that names them all."""
    shared = {"hash.h", "locality.h", "schedulers.h"} | PLAIN
    assert set(re.findall(r'^#include ["<](.+?)[">]', path.read_text(), re.MULTILINE)) <= shared
    assert not re.findall(r"\bscheduler_(?:of|find|attach)\(", path.read_text())


def test_every_scheduler_has_a_file_of_its_name() -> None:
    named = {
        name
        for path in SCHEDULER_FILES
        for name in re.findall(r'\.name = "(\w+)"', path.read_text())
    }
    assert named == {path.stem for path in SCHEDULER_FILES if path.suffix == ".c"} - {
        "hash",
        "locality",
        "schedulers",
    }


# ---- Python ----

PURE = (
    *("api/bodies.py", "api/schema.py"),
    *("cluster.py", "flows.py", "web/answers.py", "web/search.py", "top/model.py"),
    *("config/*.py", "health.py", "hindrances.py", "losses.py", "metrics.py", "plan.py"),
    *("stats.py", "table.py"),
    *("ipvsadm/*.py", "neighbours.py", "arp.py", "nd.py", "resolution.py", "vlan.py"),
    *("announcements.py", "conflicts.py"),
    *(f"bench/{name}.py" for name in ("judge", "model", "plot", "report", "runs")),
    *("attendants/alerts.py", "attendants/maintenance.py"),
    *("events.py", "telling.py", "watch.py", "ldirectord/phrases.py"),
    *("endpoints.py", "daemons.py", "flags.py", "listen.py", "messages.py", "api/reading.py"),
    *("importing/*.py", "ldirectord/terms.py", "room.py", "errors.py"),
    *("checksum.py", "vip_path/conversation.py", "vip_path/segments.py"),
    *("btf.py", "ebpf.py", "printable.py"),
    *("link.py", "link_state.py"),
    *("orders.py", "records.py", "record_text.py", "explanation/ladder.py"),
)
"""Where these exist: no socket, no event loop, no clock, no thread, no process."""

ASKERS = {"names.py", "shell.py", "interfaces.py"}
"""Ask the system for hosts and ports on behalf of config, a director on behalf of ipvsadm, and the
kernel for interfaces, of which others use what was found."""

IMPURE = {
    "asyncio",
    "http",
    "mmap",
    "select",
    "signal",
    "socket",
    "subprocess",
    "threading",
    "time",
}
PURE_FILES = sorted(
    path for pattern in PURE for path in PACKAGE.glob(pattern) if path.name not in ASKERS
)


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
            yield from (alias.name for alias in node.names if node.level)


@pytest.mark.parametrize("path", PURE_FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_pure_module_imports_nothing_of_the_world(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & IMPURE


def test_the_pure_modules_are_there() -> None:
    assert {path.name for path in PURE_FILES} >= {"health.py", "table.py", "model.py"}


def test_only_the_border_imports_the_core() -> None:
    importers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[-1] == "_dataplane" for name in imports(path))
    }
    binding = {
        "adoption.py",
        "border.py",
        "capturing.py",
        "dataplane.py",
        "framing.py",
        "tracing.py",
    }
    assert importers == binding


def test_pure_modules_import_no_impure_ones_of_ours() -> None:
    packages = {"config", "ipvsadm"}
    pure = {path.stem for path in PURE_FILES} | packages | {name[:-3] for name in ASKERS}
    for path in PURE_FILES:
        ours = [name for name in imports(path) if name.startswith(".") and name.strip(".")]
        names = {name.strip(".") for name in ours} - {"checks.model"}
        assert {name.split(".")[0] for name in names} <= pure, path
