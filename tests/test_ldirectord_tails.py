"""What may follow a value: each directive with each ending, against the real ldirectord."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from test_config_ldirectord import parse

from dr_forwarder.config import ConfigError
from dr_forwarder.config.directive import Directive, Kind, Level
from dr_forwarder.config.directives import DIRECTIVES

LDIRECTORD = shutil.which("ldirectord", path="/usr/sbin:/sbin")
IPVSADM = shutil.which("ipvsadm", path="/usr/sbin:/sbin")
pytestmark = pytest.mark.skipif(
    not (LDIRECTORD and IPVSADM), reason="needs Debian's ldirectord (see .ci/packages)"
)

ENDINGS = (" ", "\t", " # x", "# x", " x", ",x")
VALUES = {
    "virtual": "10.0.0.7:80",
    "virtual6": "[2001:db8::7]:80",
    "real": "10.0.0.2:80 gate",
    "real6": "[2001:db8::2]:80 gate",
    "fallback": "10.0.0.3:80",
    "fallback6": "[2001:db8::3]:80",
    "fallbackcommand": "/bin/true",
    "protocol": "tcp",
    "scheduler": "rr",
    "schedflags": "sh-port",
    "persistent": "600",
    "netmask": "255.255.255.0",
    "checktype": "connect",
    "service": "http",
    "checkcommand": "/bin/true",
    "httpmethod": "GET",
    "virtualhost": "www.example.com",
    "emailalert": "a@example.com",
    "emailalertstatus": "running",
    "emailalertfrom": "b@example.com",
    "smtp": "mail.example.com",
    "servicename": "shop",
    "comment": "none",
    "execute": "other",
    "monitorfile": "MONITOR",
    "maintenancedir": "/etc",
    "callback": '"/bin/true"',
    "logfile": '"LOG"',
}
QUOTED = ("request", "receive", "login", "passwd", "database", "secret", "load")
STOCK = [row for row in DIRECTIVES if not row.ours]


def value(row: Directive) -> str:
    if row.name in QUOTED:
        return '"a"'
    return VALUES.get(row.name, "yes" if row.kind is Kind.FLAG else "7")


def cases(row: Directive) -> Iterator[tuple[str, str]]:
    """Names of cases, and files."""
    for ending in ENDINGS:
        line = f"{row.name}={value(row)}{ending}\n"
        if row.level in (Level.GLOBAL, Level.BOTH):
            yield f"{row.name}{ending!r} for all", line
        if row.name.startswith("virtual"):
            yield f"{row.name}{ending!r}", f"{line}    quiescent=yes\n"
        elif row.level in (Level.VIRTUAL, Level.BOTH):
            six = row.name.endswith("6")
            opener = "virtual6=[2001:db8::1]:80" if six else "virtual=10.0.0.1:80"
            yield f"{row.name}{ending!r}", f"{opener}\n    {line}"


def ours(text: str) -> bool:
    try:
        return not any(notice.strict for notice in parse(text).notices)
    except ConfigError:
        return False


def theirs(text: str, path: Path) -> bool:
    folder = path.parent
    text = text.replace("MONITOR", str(folder / "monitor")).replace("LOG", str(folder / "log"))
    path.write_text(f'{text}logfile="{folder / "log"}"\n')
    said = subprocess.run(
        [str(LDIRECTORD), str(path), "status"],
        capture_output=True,
        timeout=120,
        env={"PATH": os.environ["PATH"]},
    )
    # 3: it would run, and does not.
    assert said.returncode in (2, 3), said
    return said.returncode == 3


ON_PURPOSE = {
    # The comment becomes part of the text there, which is taken otherwise here.
    *(f"{name}' # x' for all" for name in ("emailalert", "emailalertfrom", "execute", "smtp")),
    *(f"{name}' # x' for all" for name in ("fallbackcommand", "maintenancedir")),
    # It looks for an address anywhere in the text.
    *("fallback6',x' for all", "fallback6',x'"),
}
"""Taken by ldirectord and refused by --strict."""


def every() -> list[tuple[str, str]]:
    return [case for row in STOCK for case in cases(row)]


def test_what_strict_takes_ldirectord_takes(tmp_path: Path) -> None:
    """All of it in one file, each with virtual services of its own."""
    (tmp_path / "log").touch()
    taken = [text for _, text in every() if ours(text)]
    assert len(taken) > 200
    texts = (
        re.sub(r"10\.0\.0\.[17]:", f"10.1.{number // 250}.{number % 250 + 1}:", text)
        .replace("[2001:db8::1]", f"[2001:db8:1::{number + 1:x}]")
        .replace("[2001:db8::7]", f"[2001:db8:1::{number + 1:x}]")
        for number, text in enumerate(taken)
    )
    path = tmp_path / f"tails-{os.getpid()}.cf"
    assert theirs("\n".join(texts), path), path.read_text()


def test_what_strict_refuses_ldirectord_refuses(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    refused = [(name, text) for name, text in every() if not ours(text) and name not in ON_PURPOSE]

    def taken(number: int) -> str:
        name, text = refused[number]
        return name if theirs(text, tmp_path / f"tails-{os.getpid()}-{number}.cf") else ""

    with ThreadPoolExecutor(2) as pool:
        assert [name for name in pool.map(taken, range(len(refused))) if name] == []


def test_what_is_otherwise_on_purpose_is_so(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    path = tmp_path / f"tails-{os.getpid()}.cf"
    assert all(theirs(text, path) for name, text in every() if name in ON_PURPOSE)
