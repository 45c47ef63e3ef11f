"""Other directors' files as native TOML: what each line becomes, and that the result loads."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from test_config_ldirectord import DATA, resolver, service_ports
from test_plan import PATIENT

from dr_forwarder.cli.import_ import command
from dr_forwarder.config import CheckType, Config, ConfigError, Mark, Virtual, load, parse_text
from dr_forwarder.config.draft import Reading
from dr_forwarder.config.marks import from_ports
from dr_forwarder.importing import Imported, Kind, convert, recognise
from dr_forwarder.ipvsadm.names import SystemNames

MARK_2 = from_ports(2, "10.0.0.9", protocol="tcp", ports="80,443")


class Names(SystemNames):
    """Knows the services' names where there is no /etc/services too."""

    def number(self, port: str, protocol: str) -> int | None:
        try:
            return service_ports(port, protocol)
        except OSError:
            return None


def imported(text: str, kind: str, *, marks: tuple[Mark, ...] = ()) -> Imported:
    reading = Reading("a.txt", resolver, service_ports, "director")
    return convert(text, Kind(kind), reading, Names(), marks=marks)


def loaded(made: Imported) -> Config:
    return parse_text(
        made.toml, path="a.toml", resolver=resolver, service_ports=service_ports, host_name="d"
    )


def one(text: str, kind: str) -> Virtual:
    (virtual,) = loaded(imported(text, kind)).virtuals
    return virtual


def said(made: Imported, number: int) -> str:
    """Of one line."""
    (line,) = [each for each in made.lines if each.number == number]
    return f"{line.verdict.value}: {line.how}"


# ---- Which kind ----

KINDS = [
    ("# x\nvirtual=10.0.0.1:80\n", Kind.LDIRECTORD),
    ("checktimeout = 3", Kind.LDIRECTORD),
    ("-A -t 10.0.0.1:80 -s rr\n", Kind.IPVSADM),
    ("#!/bin/sh\n/sbin/ipvsadm -A -t 10.0.0.1:80\n", Kind.IPVSADM),
    ("! x\nvirtual_server 10.0.0.1 80 {\n}\n", Kind.KEEPALIVED),
    ("global_defs {\n  router_id X\n}\n", Kind.KEEPALIVED),
    ("$A=1\nvrrp_instance V {\n}\n", Kind.KEEPALIVED),
    ("hello\n", None),
]


@pytest.mark.parametrize(("text", "kind"), KINDS)
def test_a_file_is_recognised_by_what_it_says(text: str, kind: Kind | None) -> None:
    assert recognise(text) is kind


# ---- ldirectord.cf ----


def test_the_tutorial_means_the_same_as_toml() -> None:
    text = (DATA / "tutorial.cf").read_text()
    made = imported(text, "ldirectord")
    ours, theirs = loaded(made), load(DATA / "tutorial.cf")
    assert {line.verdict.value for line in made.lines} == {"same"}
    assert [r.address for r in ours.virtuals[0].real] == [
        r.address for r in theirs.virtuals[0].real
    ]


LDIRECTORD = """\
checkcount=2
checktimeout=3
checktimeout=4
execute=one
execute=two
fallback6=[2001:db8::9]
virtual=10.0.0.1:80
    real=10.0.0.2->10.0.0.4:8080 gate 2
    real=10.0.0.5 masq
    scheduler=rr
    scheduler=wlc # the last counts
    checkinterval=7
virtual6=9
    real6=[2001:db8::2] gate
    fallback=[2001:db8::8]
"""


def test_each_line_of_an_ldirectord_cf_is_told_of() -> None:
    made = imported(LDIRECTORD, "ldirectord")
    assert said(made, 1).startswith("differs: checkcount is deprecated")
    assert said(made, 2).startswith("differs: says nothing: the same directive comes again")
    assert said(made, 3) == said(made, 4) == said(made, 5) == said(made, 6) == "same: "
    assert said(made, 8) == "same: "
    assert (
        said(made, 9) == "not for direct routing: 10.0.0.5 is left out: masq is not direct routing"
    )
    assert said(made, 12).startswith("differs: ldirectord ignores")
    assert said(made, 13).startswith("differs: firewall mark 9 is defined nowhere")
    config = loaded(made)
    assert len(config.virtuals[0].real) == 3
    assert 'address = "10.0.0.2->10.0.0.4:8080"' in made.toml
    assert [str(v.fallback and v.fallback.address) for v in config.virtuals] == [
        "None",
        "2001:db8::8",
    ]


def test_marks_come_along() -> None:
    made = imported("virtual=2\n    service=none\n", "ldirectord", marks=MARK_2)
    assert loaded(made).marks == MARK_2
    assert said(made, 1) == "same: "


def test_what_is_no_ldirectord_cf_is_an_error_with_its_line() -> None:
    with pytest.raises(ConfigError, match="unknown directive") as caught:
        imported("virtual=10.0.0.1:80\n    nonsense=1\n", "ldirectord")
    assert caught.value.line == 2


# ---- ipvsadm ----

SAVED = """\
-A -t 10.0.0.1:http -s wlc -p 600 -M 255.255.255.0
-a -t 10.0.0.1:80 -r 10.0.0.2:80 -g -w 3 -x 9 -y 4
-a -t 10.0.0.1:80 -r 10.0.0.3:8080 -m -w 1
-a -t 10.0.0.1:80 -r 10.0.0.4:80 -i
-A -f 2 -s sh -b sh-port
-a -f 2 -r 10.0.0.2:0 -g -w 1
-e -f 2 -r 10.0.0.2:0 -g -w 5
/sbin/ipvsadm --set 900 0 300   # a script may be like that
-A -u [2001:db8::1]:53 -s rr -o -p 30 -M 64
-a -u [2001:db8::1]:53 -r [2001:db8::2]:53 -g -w 0
--start-daemon master --mcast-interface eth1 --syncid 7
-Z
-A -t 10.0.0.1
-a -t 10.0.0.9:80 -r 10.0.0.2:80
-A --sctp-service 10.0.0.1:80
-A -t 10.0.0.8:80 --pe sip
"""

SAVED_LINES = {
    1: "same: ",
    2: "same: ",
    3: "not for direct routing: 10.0.0.3:8080 is reached by masquerading: left out",
    4: "not for direct routing: 10.0.0.4:80 is reached by a tunnel: left out",
    5: "differs: nothing says what this mark stands for",
    7: "same: ",
    8: "same: ",
    11: "same: ",
    12: "differs: a file says what is to be, and this is done at once: not taken",
    13: "differs: not taken: Zero port specified for non-persistent service",
    14: "differs: not taken: no line before says -A of its service",
    15: "differs: not taken: a file has no SCTP services",
    16: "differs: there are no persistence engines",
}


@pytest.mark.parametrize(("number", "expected"), SAVED_LINES.items())
def test_each_line_of_a_saved_table_is_told_of(number: int, expected: str) -> None:
    assert said(imported(SAVED, "ipvsadm"), number).startswith(expected)


def test_a_saved_table_is_the_same_table() -> None:
    config = loaded(imported(SAVED, "ipvsadm", marks=MARK_2))
    web, mark, dns, _ = config.virtuals
    assert (web.scheduler, web.persistent_s, web.netmask) == ("wlc", 600, "255.255.255.0")
    (real,) = web.real
    assert (real.weight, real.lower, real.upper) == (3, 4, 9)
    assert web.check.type is CheckType.ON  # nobody checked them before
    assert (mark.fwmark, mark.scheduler_flags, mark.real[0].weight) == (2, "sh-port", 5)
    assert (dns.protocol, dns.one_packet, dns.netmask, dns.real[0].weight) == ("udp", True, "64", 0)
    settings = config.settings
    assert (settings.timeout_tcp_s, settings.timeout_tcp_fin_s) == (900, 120)
    assert [(d.role, d.interface, d.sync_id) for d in settings.daemons] == [("master", "eth1", 7)]


# ---- keepalived.conf ----

SERVICE = """\
virtual_server 10.0.0.1 80 {{
    lb_kind DR
    {}
    real_server 10.0.0.2 8080 {{
        {}
    }}
}}
"""


def keepalived(service: str = "", server: str = "") -> str:
    return SERVICE.format(service, textwrap.indent(server, "        ").strip())


SETTINGS: list[tuple[str, str, object, str]] = [
    ("", "scheduler", "wlc", ""),
    ("", "check.interval_s", 60, ""),
    ("lb_algo rr", "scheduler", "rr", "same: "),
    ("lvs_sched sh\n sh-port\n sh-fallback", "scheduler_flags", "sh-port,sh-fallback", "same: "),
    ("delay_loop 6", "check.interval_s", 6, "same: "),
    ("delay_loop 2.5", "check.interval_s", 3, "differs: whole seconds only"),
    ("persistence_timeout 50", "persistent_s", 50, "same: "),
    ("persistence_timeout", "persistent_s", 360, "same: "),
    ("persistence_timeout 9\n persistence_granularity 255.255.0.0", "netmask", "255.255.0.0", ""),
    ("protocol UDP", "protocol", "udp", "same: "),
    ("protocol UDP\n ops", "one_packet", True, "same: "),
    ("virtualhost www.example.com", "check.virtual_host", "www.example.com", "same: "),
    ("inhibit_on_failure", "quiescent", True, "same: "),
    ("retry 2", "check.failure_count", 3, "differs: a failed check is repeated"),
    ("sorry_server 10.0.0.9 81", "fallback.port", 81, "same: "),
    ("quorum 1", "quiescent", False, "same: "),
    ("quorum 2", "quiescent", False, "differs: the fallback comes when no server is up"),
    ("quorum_up /bin/x", "fallback_command", None, "differs: not taken: write fallbackcommand"),
    ("alpha", "quiescent", False, "same: "),
    ("omega", "quiescent", False, "differs: not taken"),
    ("ha_suspend", "quiescent", False, "differs: not taken"),
    ("persistence_engine sip", "persistent_s", None, "differs: not taken: there are no persist"),
    ("smtp_alert off", "alert.status", frozenset({"none"}), "same: "),
    ("nonsense 1", "quiescent", False, "differs: not taken: there is nothing like it"),
]


def at(subject: object, path: str) -> object:
    for name in path.split("."):
        subject = getattr(subject, name)
    return subject


@pytest.mark.parametrize(("text", "path", "value", "expected"), SETTINGS)
def test_what_a_virtual_server_says(text: str, path: str, value: object, expected: str) -> None:
    made = imported(keepalived(text), "keepalived")
    (virtual,) = loaded(made).virtuals
    assert at(virtual, path) == value
    if expected:
        assert said(made, 3).startswith(expected)


HTTP = "HTTP_GET {\n  url {\n    path /a\n    %s\n  }\n  connect_timeout 3\n}"
CHECKS: list[tuple[str, dict[str, object]]] = [
    ("", {"type": CheckType.ON}),
    ("TCP_CHECK {\n  connect_timeout 4\n}", {"type": CheckType.CONNECT, "check_timeout_s": 4}),
    ("TCP_CHECK {\n}", {"type": CheckType.CONNECT, "check_timeout_s": 5}),
    ("TCP_CHECK { connect_port 99 }", {"type": CheckType.CONNECT, "port": 99}),
    (HTTP % "", {"service": "http", "request": "/a", "negotiate_timeout_s": 3}),
    (HTTP % "virtualhost www.x", {"virtual_host": "www.x"}),
    (HTTP % 'regex "It .*works"', {"receive": "It .*works"}),
    (HTTP.replace("HTTP", "SSL") % "", {"service": "https", "verify_cert": False}),
    ("SMTP_CHECK {\n}", {"service": "smtp", "negotiate_timeout_s": 5}),
    ("DNS_CHECK {\n  name example.com.\n}", {"request": "/example.com", "dns_type": "SOA"}),
    ("DNS_CHECK {\n  type AAAA\n  name x\n}", {"service": "dns", "dns_type": "AAAA"}),
    (
        'MISC_CHECK {\n  misc_path "/bin/check -v x"\n  misc_timeout 7\n}',
        {"type": CheckType.EXTERNAL, "command": "/bin/check -v x", "check_timeout_s": 7},
    ),
    ("PING_CHECK {\n}", {"type": CheckType.PING}),
    ("UDP_CHECK {\n}", {"type": CheckType.PING}),
    ("BFD_CHECK {\n  name b\n}", {"type": CheckType.ON}),
    ("TCP_CHECK {\n  retry 1\n}", {"failure_count": 2}),
]


@pytest.mark.parametrize(("text", "expected"), CHECKS)
def test_what_a_checker_becomes(text: str, expected: dict[str, object]) -> None:
    check = one(keepalived("", text), "keepalived").check
    assert {name: getattr(check, name) for name in expected} == expected


TOLD = [
    (HTTP % "digest 640205", "digest", "differs: not taken: no digest of the page is compared"),
    (HTTP % "status_code 200", "status_code", "same: "),
    (HTTP % "status_code 404", "status_code", "differs: every status of 200 to 299 is up"),
    ("UDP_CHECK {\n}", "UDP_CHECK", "differs: no datagrams are sent"),
    ("BFD_CHECK {\n}", "BFD_CHECK", "differs: not taken: there is no such check"),
    ("TCP_CHECK {\n}\nPING_CHECK {\n}", "PING_CHECK", "differs: not taken: a server has one check"),
    ("MISC_CHECK {\n  misc_path /x\n}", "misc_path", "differs: the program is told"),
    ("MISC_CHECK {\n  misc_dynamic\n}", "misc_dynamic", "differs: not taken: the exit status"),
    ("notify_down /bin/x", "notify_down", "differs: not taken: nothing is run for a single"),
    ("lvs_method TUN", "lvs_method", "not for direct routing: TUN is a tunnel"),
    (
        "lvs_method TUN",
        "real_server",
        "not for direct routing: 10.0.0.2:8080 is reached by a tunnel",
    ),
    ("weight 5", "weight", "same: "),
]


@pytest.mark.parametrize(("text", "keyword", "expected"), TOLD)
def test_what_is_told_of_a_servers_lines(text: str, keyword: str, expected: str) -> None:
    made = imported(keepalived("", text), "keepalived")
    (line,) = [each for each in made.lines if each.text.startswith(keyword)]
    assert f"{line.verdict.value}: {line.how}".startswith(expected)
    loaded(made)


def test_nat_is_left_out_and_remembered_in_a_remark() -> None:
    made = imported(keepalived().replace("DR", "NAT"), "keepalived")
    assert said(made, 2) == "not for direct routing: NAT is masquerading"
    assert loaded(made).virtuals[0].real == ()
    assert "# 10.0.0.2:8080 is reached by masquerading: left out" in made.toml


GROUP = """\
$NET=10.0.0
virtual_server_group G
{
    $NET.11-12 80
    10.0.0.20 443   # one more
    fwmark 2
}
virtual_server group G { lb_kind DR
    real_server ${NET}.2 80 { weight 2 }
}
virtual_server 2001:db8::1 80 {
    lb_kind DR
    real_server 2001:db8::2 80 { }
}
virtual_server fwmark 2 { ip_family inet6
}
"""


def test_each_member_of_a_group_is_a_service() -> None:
    made = imported(GROUP, "keepalived", marks=MARK_2)
    names = [virtual.name for virtual in loaded(made).virtuals]
    marks = ["2", "[2001:db8::1]:80", "2"]
    assert names == ["10.0.0.11:80", "10.0.0.12:80", "10.0.0.20:443", *marks]
    assert [virtual.ipv6 for virtual in loaded(made).virtuals] == [False] * 4 + [True] * 2


def test_servers_of_one_service_are_checked_alike() -> None:
    text = """\
virtual_server 10.0.0.1 80 { lb_kind DR
    real_server 10.0.0.2 80 { HTTP_GET { url { path /a } } }
    real_server 10.0.0.3 80 { HTTP_GET { url { path /b } } }
    real_server 10.0.0.4 80 { TCP_CHECK { } }
}
"""
    made = imported(text, "keepalived")
    (virtual,) = loaded(made).virtuals
    assert [real.request for real in virtual.real] == [None, "/b", None]
    assert said(made, 3) == "same: "
    assert said(made, 4).startswith(
        "differs: all servers of a service are checked alike: as line 2"
    )


GLOBALS = """\
global_defs {
    notification_email {
        a@example.com
    }
    smtp_server 10.0.0.25 2525
    lvs_timeouts tcp 7200 tcpfin 30
    lvs_sync_daemon eth1 VI_1 id 9
    router_id X
}
vrrp_instance VI_1 {
    virtual_ipaddress {
        10.0.0.1
    }
}
include /etc/other
@one virtual_server 10.0.0.5 80
SSL { ca /x }
"""


def test_what_is_said_for_all_services() -> None:
    made = imported(GLOBALS + keepalived(), "keepalived")
    config = loaded(made)
    assert config.virtuals[0].alert.to == ("a@example.com",)
    assert config.virtuals[0].alert.smtp == "10.0.0.25:2525"
    assert config.settings.timeout_tcp_s == 7200
    assert [daemon.role for daemon in config.settings.daemons] == ["master", "backup"]
    for number, expected in {
        8: "differs: not taken: mail says the host's name",
        10: "differs: not taken: VRRP goes on beside the director",
        12: "differs: not taken: as line 11",
        15: "differs: not taken: import that file by itself",
        16: "differs: not taken: lines for one of several hosts",
        17: "differs: not taken: checks show no certificate",
    }.items():
        assert said(made, number).startswith(expected)


BROKEN = [
    ("virtual_server 10.0.0.1 80 {\n", 1, "this block is not closed"),
    ("}\n", 1, "} closes no block"),
    ("\n{\n}\n", 2, "{ opens a block of nothing"),
    ("virtual_server x 80 {\n}\n", 1, "'x' is no IP address"),
    ("virtual_server 10.0.0.1 web {\n}\n", 1, "'web' is no number"),
    ("virtual_server group G {\n}\n", 1, "there is no virtual_server_group G"),
    ("virtual_server {\n}\n", 1, "needs an address and a port"),
]


@pytest.mark.parametrize(("text", "line", "reason"), BROKEN)
def test_a_broken_keepalived_conf_is_an_error_with_its_line(
    text: str, line: int, reason: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(reason)) as caught:
        imported(text, "keepalived")
    assert caught.value.line == line


def test_what_would_not_load_is_not_written() -> None:
    many = keepalived().replace("10.0.0.1 80", "224.0.0.1 80")
    with pytest.raises(ConfigError, match=r"as TOML it would not load: .* write a unicast one"):
        imported(many, "keepalived")


# ---- The command ----

PIPED = "-A -t 10.0.0.1:80 -s rr\n"
AS_PROGRAM: Any = {"help_option_names": ["-h", "--help"]}
"""What the program around the command says; click remembers what it was told first."""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    def call(text: str, *options: str) -> tuple[int, str, str]:
        path = tmp_path / "file"
        path.write_text(text)
        done = CliRunner().invoke(command, [str(path), *options], **AS_PROGRAM)
        if isinstance(done.exception, ConfigError):
            return 2, done.stdout, str(done.exception)
        return done.exit_code, done.stdout, done.stderr

    return call


def test_the_command_writes_toml_and_tells_of_the_lines(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    status, toml, told = run(keepalived())
    assert status == 0
    assert toml.startswith("# Made by")
    assert "file:2: same: lb_kind DR\n" in told
    assert told.endswith("keepalived, 3 lines: 2 same, 1 differs, 0 not for direct routing\n")
    out = tmp_path / "out.toml"
    assert run(keepalived(), "--output", str(out))[1] == ""
    assert out.read_text() == toml
    assert load(out).virtuals[0].name == "10.0.0.1:80"


def test_a_table_may_come_from_a_pipe() -> None:
    done = CliRunner().invoke(command, ["-", "--strict"], input=PIPED, **AS_PROGRAM)
    assert done.exit_code == 0
    assert 'address = "10.0.0.1:80"' in done.stdout
    assert done.stderr.startswith("-:1: same: -A -t 10.0.0.1:80 -s rr\n")


def test_strict_is_for_scripts(run: Callable[..., tuple[int, str, str]]) -> None:
    assert run("virtual=10.0.0.1:80\n\n", "--strict")[0] == 0
    assert run(keepalived("omega"), "--strict")[0] == 1


def test_as_json_it_is_one_object(run: Callable[..., tuple[int, str, str]]) -> None:
    status, out, _ = run("virtual=10.0.0.1:80\n\n", "--json")
    whole = json.loads(out)
    assert (status, whole["from"]) == (0, "ldirectord")
    line = {"number": 1, "text": "virtual=10.0.0.1:80", "verdict": "same", "how": ""}
    assert whole["lines"] == [line]
    assert whole["toml"].startswith("# Made by")


def test_a_file_of_no_kind_is_refused_unless_it_is_named(
    run: Callable[..., tuple[int, str, str]],
) -> None:
    status, _, told = run("# nothing\n")
    assert status == 2
    assert "say what it is: --from" in told
    assert run("# nothing\n", "--from", "ipvsadm")[0] == 0


# ---- Any text ----

_PIECES = (
    *("virtual_server", "virtual_server_group", "real_server", "sorry_server", "group", "fwmark"),
    *("HTTP_GET", "url", "path", "TCP_CHECK", "MISC_CHECK", "weight", "retry", "lb_kind", "DR"),
    *("global_defs", "lvs_timeouts", "tcp", "lvs_sync_daemon", "id", "persistence_timeout"),
    *("10.0.0.1", "::1", "10.0.0.1-9", "80", "0", "-1", "99999", "2.5", "x", '"', "{", "}", "\n"),
    *("-A", "-a", "-E", "-t", "-f", "-r", "-g", "-m", "-w", "-p", "-x", "-y", "10.0.0.1:80", "#"),
    *("virtual=10.0.0.1:80\n", "    real=10.0.0.2 gate\n", "--set", "$A=1", "$A", "@b", "!", "'"),
)


@pytest.mark.parametrize("kind", [kind.value for kind in Kind])
@PATIENT
@given(st.one_of(st.text(), st.lists(st.sampled_from(_PIECES)).map(" ".join)))
def test_any_text_is_converted_or_refused(kind: str, text: str) -> None:
    last, numbers = text.count("\n") + 1, set[int]()
    try:
        made = imported(text, kind)
        loaded(made)
        numbers = {line.number for line in made.lines}
    except ConfigError as error:
        numbers = {error.line or 1}
    assert numbers <= {*range(1, last + 1)}
