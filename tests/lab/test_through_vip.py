"""Checks through the VIP find the server that has lost it; they leave the host's kernel out."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from running import BOTH_FAMILIES, VIP4, VIP6, Running, running, wait_until, with_cap_net_raw_only

from dr_forwarder.lab import Lab, links

HTTP = 'service=http request="test.html" receive="foo"'
SERVICES = {
    f"virtual={VIP4}:80": HTTP,
    f"virtual={VIP4}:81": "checktype=connect",
    f"virtual={VIP4}:82": f"checktype=1 {HTTP}",
    f"virtual={VIP4}:443": 'service=https request="alive.txt" receive="alive"'
    " verify_cert=yes ca_file={folder}/authority.pem sni=service.example",
    f"virtual6=[{VIP6}]:80": HTTP,
    f"virtual6=[{VIP6}]:81": "checktype=connect",
    f"virtual={VIP4}:90": "checktype=connect check_through_vip=no",
}
PLAIN_PORT = 90
QUIET = ("TcpOutRsts", "IpOutNoRoutes", "IcmpOutMsgs", "Icmp6OutDestUnreachs")
LOST = [
    f"Check of 10.10.10.62:80: down (the VIP {VIP4} is not answered for at 02:00:0a:0a:0a:3e",
    f"Check of 10.10.10.62:443: down (the VIP {VIP4} is not answered for at 02:00:0a:0a:0a:3e",
    f"Check of [fd77::62]:80: down (the VIP {VIP6} is not answered for at 02:00:0a:0a:0a:3e",
]
SECURE = """
import functools, http.server, ssl, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
server = http.server.ThreadingHTTPServer(("", 443), handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1] + "/chain.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


def config(folder: Path) -> str:
    text = "checkinterval=1\nchecktimeout=1\nnegotiatetimeout=1\nfailurecount=2\n"
    text += "check_through_vip=yes\n"
    for virtual, checks in SERVICES.items():
        six, port = virtual.startswith("virtual6"), virtual.rpartition(":")[2]
        reals = [f"real6=[fd77::{n}]" if six else f"real=10.10.10.{n}" for n in (62, 63)]
        lines = [f"{real}:{port} gate" for real in reals]
        lines += checks.format(folder=folder).split()
        lines += [] if port == "443" else ["checkport=80"]
        text += "\n".join([virtual, *(f"\t{line}" for line in lines)]) + "\n"
    return text


@pytest.fixture(scope="module")
def lab(possible: None) -> Iterator[Lab]:
    with Lab(BOTH_FAMILIES) as lab:
        yield lab


@pytest.fixture
def secure(lab: Lab, tmp_path: Path) -> Path:
    """A folder that both real servers serve over TLS."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    issued = authority.issue_cert("service.example")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "chain.pem"))
    (tmp_path / "alive.txt").write_text("alive and well\n" * 5000)
    for name in ("vm2", "vm3"):
        lab.popen(name, [sys.executable, "-c", SECURE, str(tmp_path)])
    return tmp_path


def servers_by_port(director: Running) -> dict[int, int]:
    """How many servers each IPv4 and IPv6 service of a port has."""
    found: dict[int, int] = {}
    for row in director.client.services():
        port = row.service.key.port
        found[port] = found.get(port, 0) + len(row.servers)
    return found


@contextlib.contextmanager
def without_vips(lab: Lab, name: str) -> Iterator[None]:
    inside = lab.namespace(name)
    for vip in (VIP4, VIP6):
        links.remove_vip(inside, vip)
    try:
        yield
    finally:
        for vip in (VIP4, VIP6):
            links.add_vip(inside, vip)


def test_a_server_that_lost_its_vip_goes_down_and_the_plain_check_does_not_notice(
    lab: Lab, secure: Path
) -> None:
    all_up = {80: 4, 81: 4, 82: 2, 443: 2, PLAIN_PORT: 2}
    half_up = {80: 2, 81: 2, 82: 1, 443: 1, PLAIN_PORT: 2}
    before = lab.counters("director")
    with running(lab, secure, config(secure), prefix=with_cap_net_raw_only()) as director:
        wait_until(lambda: servers_by_port(director) == all_up, "all are up")
        with without_vips(lab, "vm2"):
            wait_until(lambda: servers_by_port(director) == half_up, "one is down, but there")
        wait_until(lambda: servers_by_port(director) == all_up, "all are up again")
        log = director.log
    after = lab.counters("director")
    for told in LOST:
        assert told in log
    assert "Soft failure real server: 10.10.10.62:80 (tcp:10.10.10.60:80) failure 1/2: the" in log
    assert {name: after.get(name, 0) - before.get(name, 0) for name in QUIET} == dict.fromkeys(
        QUIET, 0
    )


def test_why_a_server_is_down_is_shown_and_logged_once(lab: Lab, tmp_path: Path) -> None:
    """A closed port, told from a lost VIP."""
    text = f"checkinterval=1\ncheck_through_vip=yes\nvirtual={VIP4}:80\n"
    text += "\treal=10.10.10.62:80 gate\n\tchecktype=connect\n\tcheckport=7\n"
    reason = "connections to the VIP 10.10.10.60 are refused at 02:00:0a:0a:0a:3e, port 7"
    arrived = lab.counters("vm2").get("TcpOutRsts", 0)
    with running(lab, tmp_path, text) as director:
        wait_until(lambda: lab.counters("vm2")["TcpOutRsts"] >= arrived + 3, "three checks")
        shown = f"10.10.10.60:80 -> 10.10.10.62:7 down: {reason}\n"
        assert director.command("list", "--health") == shown
        (row,) = json.loads(director.command("list", "--health", "--json"))
        assert (row["up"], row["reason"]) == (False, reason)
        assert director.log.count(reason) == 1
