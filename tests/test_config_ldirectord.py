"""ldirectord's grammar: every directive, every rule of the lines, every error with its line."""

from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_forwarder.config import (
    OTHERWISE,
    Address,
    CheckType,
    Config,
    ConfigError,
    Notice,
    Virtual,
    load,
    load_text,
    names,
    parse_text,
)
from dr_forwarder.config.deviations import DEVIATIONS
from dr_forwarder.config.directives import BY_NAME, DIRECTIVES

DATA = Path(__file__).parent / "data"
V = "virtual=10.0.0.1:80\n"
"""A virtual service to put one more line below."""

HOSTS = {
    ("web", 4): "10.0.0.9",
    ("a_b", 4): "10.0.0.7",
    ("web", 6): "2001:db8::9",
    ("a-b.example", 4): "10.0.0.8",
}
PORTS = {("http", "tcp"): 80, ("http", ""): 80, ("domain", "udp"): 53, ("snmp", "udp"): 161}


def resolver(host: str, family: int) -> Address:
    if (host, family) not in HOSTS:
        raise OSError("name not known")
    return ip_address(HOSTS[host, family])


def service_ports(name: str, protocol: str) -> int:
    if (name, protocol) not in PORTS:
        raise OSError("service not found")
    return PORTS[name, protocol]


def parse(text: str, **more: bool) -> Config:
    """Everything the grammar knows, also what the director does not do yet."""
    return parse_text(
        text,
        path="a.cf",
        resolver=resolver,
        service_ports=service_ports,
        host_name="director",
        **more,
    )


def accept(text: str, **more: bool) -> Config:
    """What the director runs with."""
    return load_text(
        text, path="a.cf", resolver=resolver, service_ports=service_ports, host_name="d", **more
    )


def one(text: str) -> Virtual:
    (virtual,) = parse(text).virtuals
    return virtual


def at(subject: object, path: str) -> object:
    for name in path.split("."):
        subject = subject[int(name)] if name.isdecimal() else getattr(subject, name)  # type: ignore[index]
    return subject


def sentence(row: tuple[str, int, str]) -> str:
    """Name a case by its last line and what is said of it."""
    return f"{row[0].strip().splitlines()[-1].strip()[:40]}: {row[2]}"


def strict(config: Config) -> list[tuple[int, str]]:
    return [(notice.line, notice.reason) for notice in config.notices if notice.strict]


def test_the_tutorial_is_read_as_written() -> None:
    config = load(DATA / "tutorial.cf")
    (virtual,) = config.virtuals
    assert virtual.name == "10.10.10.60:80"
    assert [str(real.address) for real in virtual.real] == ["10.10.10.62", "10.10.10.63"]
    assert virtual.check.request == "/test.html"
    assert (virtual.check.check_timeout_s, virtual.check.negotiate_timeout_s) == (3, 3)
    assert strict(config) == []
    assert config.notices == ()


def test_a_config_is_hashable() -> None:
    assert hash(load(DATA / "tutorial.cf")) == hash(load(DATA / "tutorial.cf"))


def test_an_empty_file_has_no_virtual_services() -> None:
    assert parse("") == Config(path="a.cf")


GLOBALS = [
    ("readdquiescent=yes", "readd_quiescent", True),
    ("autoreload=yes", "auto_reload", True),
    ('callback="/bin/sync"', "callback", "/bin/sync"),
    ('logfile="local0"', "log_file", "local0"),
    ("", "log_file", "/var/log/ldirectord.log"),
    ("execute=one\nexecute=two,three", "execute", ("one", "two,three")),
    ("supervised=yes", "supervised", True),
    ("supervised", "supervised", True),
    ("fork=yes", "fork", True),
    ("maintenancedir=/etc/down", "maintenance_dir", "/etc/down"),
]


@pytest.mark.parametrize(("text", "path", "value"), GLOBALS, ids=[row[0] or "-" for row in GLOBALS])
def test_global_directives(text: str, path: str, value: object) -> None:
    assert at(parse(text), path) == value


IN_BLOCK = [
    ("protocol=udp", "protocol", "udp"),
    ("scheduler=wlc", "scheduler", "wlc"),
    ("scheduler=rr\n scheduler=lc", "scheduler", "lc"),
    ("schedflags=sh-port", "scheduler_flags", "sh-port"),
    ("persistent=600", "persistent_s", 600),
    ("persistent=600\n netmask=255.255.255.0", "netmask", "255.255.255.0"),
    ("protocol=udp\n ops=yes", "one_packet", True),
    ("ops=yes", "one_packet", False),
    ("checktype=connect", "check.type", CheckType.CONNECT),
    ("checktype=ping", "check.type", CheckType.PING),
    ("checktype=on", "check.type", CheckType.ON),
    ("checktype=off", "check.type", CheckType.OFF),
    ("checktype=external", "check.type", CheckType.EXTERNAL),
    ("checktype=external-perl", "check.type", CheckType.EXTERNAL_PERL),
    ("checktype=3", "check.type", CheckType.COMBINED),
    ("checktype=3", "check.connects", 3),
    ("checktype=connect1", "check.connects", 1),
    ("checktype=checktimeout3", "check.connects", 3),
    ("checktype=0", "check.type", CheckType.NEGOTIATE),
    ("service=https", "check.service", "https"),
    ("service=http_proxy", "check.service", "http_proxy"),
    ("", "check.service", "http"),
    ("checkport=8080", "check.port", 8080),
    ("", "check.port", None),
    ("checkcommand=/bin/check", "check.command", "/bin/check"),
    ('request="index.html"', "check.request", "/index.html"),
    ('request="/a?b=c"', "check.request", "/a?b=c"),
    ("", "check.request", "/"),
    ('receive="a "b" \\w"', "check.receive", 'a "b" \\w'),
    ("httpmethod=head", "check.http_method", "HEAD"),
    ('virtualhost="www.example.com"', "check.virtual_host", "www.example.com"),
    ('login="anna"', "check.login", "anna"),
    ('passwd="pass"', "check.password", "pass"),
    ('database="db"', "check.database", "db"),
    ('secret="shh"', "check.secret", "shh"),
    ('load="x"', "check.request", "/"),
    ("service=ftp", "check.login", "anonymous"),
    ("service=ftp", "check.password", "ldirectord@director"),
    ('login="me"\n service=ftp', "check.login", "me"),
    ("service=sip", "check.login", "ldirectord@director"),
    ("service=sip", "check.password", ""),
    ("checkcount=3", "check.ping_count", 3),
    ("failurecount=4", "check.failure_count", 4),
    ("checkinterval=7", "check.interval_s", 7),
    ("risecount=2", "check.rise_count", 2),
    ("flapcount=0", "check.flap_count", 0),
    ("flapout=yes", "check.flap_out", True),
    ("jitter=10", "check.jitter_percent", 10),
    ("verify_cert=yes", "check.verify_cert", True),
    ("ca_file=/etc/ours.pem", "check.ca_file", "/etc/ours.pem"),
    ("sni=www.example.com", "check.sni", "www.example.com"),
    ("dnstype=aaaa", "check.dns_type", "AAAA"),
    ("check_through_vip=yes", "check.through_vip", True),
    ("slow_start=30", "slow_start_s", 30),
    ("quiescent=yes", "quiescent", True),
    ("", "quiescent", False),
    ("cleanstop=no", "clean_stop", False),
    ("emailalert=a@x, b@y", "alert.to", ("a@x", "b@y")),
    ("emailalertfreq=0", "alert.frequency_s", 0),
    ("emailalertstatus=running,stopping", "alert.status", frozenset({"running", "stopping"})),
    ("smtp=mail.example", "alert.smtp", "mail.example"),
    ("servicename=Shop", "service_name", "Shop"),
    ("comment=ask Anna", "comment", "ask Anna"),
    ("monitorfile=/var/log/m", "monitor_file", "/var/log/m"),
    ("fallbackcommand=/bin/f x", "fallback_command", "/bin/f x"),
    ("fallback_at_stop=yes", "fallback_at_stop", True),
    ("fallback=10.0.0.4:81", "fallback.port", 81),
    ("fallback=10.0.0.4", "fallback.port", 80),
    ("fallback=web:http gate", "fallback.address", IPv4Address("10.0.0.9")),
    ("real=10.0.0.2:80 gate", "real.0.address", IPv4Address("10.0.0.2")),
]


@pytest.mark.parametrize(
    ("text", "path", "value"), IN_BLOCK, ids=[f"{row[0] or '-'} {row[1]}" for row in IN_BLOCK]
)
def test_directives_of_a_virtual_service(text: str, path: str, value: object) -> None:
    assert at(one(f"{V} {text}"), path) == value


def test_every_directive_is_tested_here() -> None:
    texts = "\n".join(row[0] for row in (*GLOBALS, *IN_BLOCK)) + Path(__file__).read_text()
    assert [name for name in BY_NAME if f"{name}=" not in texts] == []


def test_only_directives_of_ldirectord_can_be_otherwise_than_there() -> None:
    assert DEVIATIONS.keys() <= {row.name for row in DIRECTIVES if not row.ours}
    assert all(text.endswith(".") for text in DEVIATIONS.values())


def test_every_directive_has_a_sentence_of_help() -> None:
    assert [row.name for row in DIRECTIVES if not row.help.endswith(".")] == []


@pytest.mark.parametrize(
    ("name", "shared", "own", "path", "value"),
    [
        ("checkinterval", "3", "4", "check.interval_s", 4),
        ("failurecount", "3", "4", "check.failure_count", 4),
        ("checkcount", "3", "4", "check.ping_count", 4),
        ("quiescent", "yes", "no", "quiescent", False),
        ("cleanstop", "no", "yes", "clean_stop", True),
        ("smtp", "one", "two", "alert.smtp", "two"),
        ("emailalert", "a@x", "b@x", "alert.to", ("b@x",)),
        ("emailalertfreq", "5", "0", "alert.frequency_s", 0),
        ("emailalertstatus", "all", "none", "alert.status", frozenset({"none"})),
        ("fallbackcommand", "/a", '""', "fallback_command", None),
        ("fallback", "10.0.0.7:1", "10.0.0.8:2", "fallback.port", 2),
    ],
)
def test_the_virtual_service_goes_before_the_global_directive(
    name: str, shared: str, own: str, path: str, value: object
) -> None:
    assert at(one(f"{V}    {name}={own}\n{name}={shared}\n"), path) == value
    assert at(one(f"{V}    real=10.0.0.2 gate\n{name}={own}"), path) == value


@pytest.mark.parametrize(
    ("shared", "own", "limits"),
    [
        pytest.param("", "", (5, 30), id="nothing given"),
        pytest.param("checktimeout=3", "", (3, 3), id="a global checktimeout alone is both"),
        pytest.param(
            "negotiatetimeout=4", "", (4, 4), id="a global negotiatetimeout alone is both"
        ),
        pytest.param("checktimeout=3\nnegotiatetimeout=4", "", (3, 4), id="each its own"),
        pytest.param("checktimeout=3", "negotiatetimeout=9", (9, 9), id="own stand-in goes first"),
        pytest.param("negotiatetimeout=4", "checktimeout=2", (2, 2), id="and the other way round"),
    ],
)
def test_a_timeout_stands_in_for_the_other(shared: str, own: str, limits: tuple[int, int]) -> None:
    check = one(f"{shared}\n{V} {own}\n").check
    assert (check.check_timeout_s, check.negotiate_timeout_s) == limits


@pytest.mark.parametrize(
    ("text", "protocol", "port", "service"),
    [
        pytest.param("virtual=10.0.0.1:21\n \n", "tcp", 21, "ftp", id="service by port"),
        pytest.param("virtual=10.0.0.1:53\n \n", "udp", 53, "dns", id="port 53 is udp"),
        pytest.param("virtual=10.0.0.1:domain\n\n", "udp", 53, "dns", id="domain is udp"),
        pytest.param(
            "virtual=10.0.0.1:53\n  protocol=tcp\n", "tcp", 53, "dns", id="53 is tcp if it says so"
        ),
        pytest.param(
            "virtual=10.0.0.1:snmp\n protocol=udp", "udp", 161, "none", id="name for the protocol"
        ),
        pytest.param("virtual=web:8\n\n", "tcp", 8, "none", id="no service for other ports"),
        pytest.param("virtual = 7\n\n", "fwm", 0, "none", id="a mark has neither"),
        pytest.param("virtual=7\n protocol=fwm", "fwm", 0, "none", id="a mark may say fwm"),
    ],
)
def test_protocol_port_and_service(text: str, protocol: str, port: int, service: str) -> None:
    virtual = one(text)
    assert (virtual.protocol, virtual.port, virtual.check.service) == (protocol, port, service)


@pytest.mark.parametrize(
    ("text", "name", "ipv6"),
    [
        ("virtual=web:80", "10.0.0.9:80", False),
        ("virtual6=web:80", "[2001:db8::9]:80", True),
        ("virtual6=[2001:DB8:0:0::1]:80", "[2001:db8::1]:80", True),
        ("virtual=[2001:db8::1]:80", "[2001:db8::1]:80", True),
        ("virtual=4294967295", "4294967295", False),
        ("virtual6=9", "9", True),
    ],
)
def test_what_a_virtual_service_may_be(text: str, name: str, ipv6: bool) -> None:
    virtual = one(f"{text}\n\n")
    assert (virtual.name, virtual.ipv6) == (name, ipv6)


@pytest.mark.parametrize(
    ("text", "port", "weight", "asks", "gets", "limits"),
    [
        ("10.0.0.2 gate", 0, 1, None, None, (0, 0)),
        ("10.0.0.2:http\tgate 0", 80, 0, None, None, (0, 0)),
        ("web:8080 gate 65535", 8080, 65535, None, None, (0, 0)),
        ('10.0.0.2:80 gate 5 "a", "b c"', 80, 5, "/a", "b c", (0, 0)),
        ('10.0.0.2:80 gate "/a","b"', 80, 1, "/a", "b", (0, 0)),
        ('10.0.0.2:80 gate "a" ""', 80, 1, "/a", "", (0, 0)),
        ("10.0.0.2:80 gate l:5 u:10", 80, 1, None, None, (5, 10)),
        ('10.0.0.2:80 gate 2 "a" "b" l:5 u:10', 80, 2, "/a", "b", (5, 10)),
        ("10.0.0.2:80 gate u:7", 80, 1, None, None, (0, 7)),
        ('10.0.0.2:80 gate "l:5" "u:9"', 80, 1, "/l:5", "u:9", (0, 0)),
        ('10.0.0.2:80 gate "http://x/", "y"', 80, 1, "/http://x/", "y", (0, 0)),
    ],
)
def test_what_a_real_server_may_be(
    text: str,
    port: int,
    weight: int,
    asks: str | None,
    gets: str | None,
    limits: tuple[int, int],
) -> None:
    config = parse(f"{V}    real={text}\n")
    (real,) = config.virtuals[0].real
    assert (real.port, real.weight, real.request, real.receive) == (port, weight, asks, gets)
    assert (real.lower, real.upper) == limits
    assert real.line == 2
    assert strict(config) == []


def test_a_range_is_every_address_of_it() -> None:
    reals = one(f"{V}    real=10.0.0.254->10.0.1.1:8080 gate 3").real
    assert [str(real.address) for real in reals] == [
        "10.0.0.254",
        "10.0.0.255",
        "10.0.1.0",
        "10.0.1.1",
    ]
    assert {(real.port, real.weight) for real in reals} == {(8080, 3)}


def test_a_range_may_go_by_names() -> None:
    reals = one(f"{V}    real=a-b.example->web gate").real
    assert [str(real.address) for real in reals] == ["10.0.0.8", "10.0.0.9"]


def test_ipv6_servers() -> None:
    virtual = one(
        "fallback6=[2001:db8::5]\nfallback=10.0.0.5\n"
        "virtual6=[2001:db8::1]:80\n    real6=[2001:db8::2]:80 gate\n    real6=web gate\n"
    )
    assert [str(real.address) for real in virtual.real] == ["2001:db8::2", "2001:db8::9"]
    assert virtual.fallback is not None
    assert virtual.fallback.address == IPv6Address("2001:db8::5")


def test_a_global_fallback_serves_firewall_marks_too() -> None:
    virtual = one("fallback=10.0.0.5\nvirtual=7\n    real=10.0.0.2 gate\n")
    assert virtual.fallback is not None
    assert (str(virtual.fallback.address), virtual.fallback.port) == ("10.0.0.5", 0)


def test_tcp_and_udp_may_share_an_address() -> None:
    config = parse("virtual=10.0.0.1:80\n\nvirtual=10.0.0.1:80\n    protocol=udp\n")
    assert [virtual.protocol for virtual in config.virtuals] == ["tcp", "udp"]


PLAIN = [
    pytest.param("\n \n#x\n   # y\nquiescent=yes", id="blank lines and comments"),
    pytest.param("quiescent \t=\tyes", id="white space around the equals sign"),
    pytest.param("checktimeout=3 # three", id="a global number may have a comment"),
    pytest.param('logfile="/x" # there', id="a global quoted value may have a comment"),
    pytest.param(f"{V}    quiescent=yes# x", id="a comment in a block"),
    pytest.param(f"{V}\tquiescent=yes", id="a tab is four columns"),
    pytest.param(f"{V} \t quiescent=yes", id="blank and tab"),
    pytest.param(f"{V}# x\n  # y\n    quiescent=yes", id="comments do not end a block"),
    pytest.param(f"{V}    service=http\nquiescent=yes\n", id="globals after a block"),
    pytest.param(f"{V}    service=http\n    \nquiescent=yes", id="four blanks end a block"),
    pytest.param(f'{V}    checktype="connect"\n    scheduler="rr"', id="tolerated quotes"),
    pytest.param(f'{V}    request="a" # say "hi" there', id="quotes in a comment"),
    pytest.param(f'{V}    request="it" is" # "x"', id="quotes in value and comment"),
    pytest.param("# Grüße\nquiescent=no", id="bytes are passed through"),
    pytest.param(f"{V}    real=10.0.0.2 gate", id="no last newline"),
    pytest.param(f"{V}    fallback=10.0.0.4 ", id="blank after fallback"),
    pytest.param("fallback=10.0.0.4\t", id="blank after the fallback of all"),
    pytest.param(f"{V}    fallback=10.0.0.4 # x", id="comment after a service's fallback"),
]


@pytest.mark.parametrize("text", PLAIN)
def test_what_ldirectord_accepts_has_no_strict_notice(text: str) -> None:
    assert strict(parse(text)) == []


def test_tabs_become_four_blanks_inside_quotes_too() -> None:
    assert one(f'{V}\treceive="a\tb"').check.receive == "a    b"


SUPERSET = [
    pytest.param("quiescent=yes # x", 1, "no comment after", id="comment after yes"),
    pytest.param("quiescent=yes ", 1, "no blank after", id="blank after yes"),
    pytest.param(f"{V}    quiescent=yes # x", 2, "no blank after", id="blank left by a comment"),
    pytest.param("fallback=10.0.0.4:80  # x", 1, "no comment after", id="comment after fallback"),
    pytest.param("emailalertfrom=a@b # x", 1, "no comment after", id="comment after text"),
    pytest.param("execute=x # x", 1, "no comment after", id="comment after execute"),
    pytest.param("#\r\nquiescent=yes\r\n", 1, "CR LF", id="CRLF"),
    pytest.param('quiescent="yes"', 1, "no quotes", id="quotes around yes"),
    pytest.param(f'{V}    real="10.0.0.2 gate"', 2, "no quotes", id="quotes around a server"),
    pytest.param('virtual="10.0.0.1:80"\n\n', 1, "no quotes", id="quotes around a service"),
    pytest.param('smtp="mail"', 1, "no quotes", id="quotes around smtp"),
    pytest.param(f"{V}    request=a", 2, "needs quotes", id="request without quotes"),
    pytest.param("logfile=/x", 1, "needs quotes", id="logfile without quotes"),
    pytest.param("virtual=[2001:db8::1]:80\n\n", 1, "virtual6", id="IPv6 under virtual"),
    pytest.param(
        "virtual6=[2001:db8::1]:80\n    real=[::1] gate", 2, "real6", id="real under virtual6"
    ),
    pytest.param(f"{V}\n    quiescent=yes", 3, "blank line", id="blank line in a block"),
    pytest.param(f"{V}     \n    quiescent=no", 2, "to be empty", id="line of five blanks"),
    pytest.param(f'{V}    receive="a#b"', 2, "# inside quotes", id="# inside quotes"),
    pytest.param(f"{V} quiescent=yes", 2, "4 columns", id="one blank of indent"),
    pytest.param("\ufeffquiescent=yes", 1, "byte order mark", id="byte order mark"),
    pytest.param("virtual=10.0.0.1:80", 1, "ends with this line", id="virtual is the last line"),
    pytest.param(f"{V}    real=a_b gate", 2, "only a part of 'a_b'", id="underscore"),
    pytest.param(f"{V}    real=10.0.0.2 gate u:2 l:1", 2, "loses u:", id="u before l"),
    pytest.param(
        f'{V}    real=10.0.0.2 gate "a 200", "b"', 2, "for the weight", id="number in a request"
    ),
]


@pytest.mark.parametrize(("text", "line", "reason"), SUPERSET)
def test_the_superset_is_accepted_with_one_strict_notice(text: str, line: int, reason: str) -> None:
    ((where, what),) = strict(parse(text))
    assert where == line
    assert reason in what


def test_a_hash_inside_quotes_is_kept() -> None:
    assert one(f'{V}    receive="a#b" # c').check.receive == "a#b"
    assert one(f'{V}    real=10.0.0.2 gate "a", "b#c"').real[0].receive == "b#c"


def test_thresholds_in_either_order() -> None:
    real = one(f"{V}    real=10.0.0.2 gate 3 u:9 l:2").real[0]
    assert (real.weight, real.lower, real.upper) == (3, 2, 9)


NOTES = [
    ("checktimeout=10s", 1, "read as 10"),
    ("checktimeout=-5", 1, "read as 5"),
    ("checktimeout=2.5", 1, "read as 2"),
    (f"{V}    checktype=connect1", 2, "read as 1"),
    ("virtual=10.0.0.1:80 x\n\n", 1, "'x' says nothing"),
    (f"{V}    real=10.0.0.2 gate -w 5", 2, "'-w' says nothing"),
    (f"{V}    real=10.0.0.2 gate a b 5", 2, "'a b' says nothing"),
    (f"{V}    service=http x", 2, "'x' says nothing here"),
    (f"{V}    scheduler=mh-port", 2, "read as mh: the rest of 'mh-port'"),
    (f"{V}    scheduler=1rr", 2, "read as rr: the rest of '1rr'"),
    (f'{V}    request="a" b', 2, "'b' says nothing"),
    ("supervised", 1, "bare word"),
    ("checkcount=2", 1, "deprecated"),
    (f"{V}    checkinterval=2", 2, "fork=yes"),
    (f"{V}    netmask=255.255.255.0", 2, "without persistent"),
    (f"{V}    real=10.0.0.2 gate 0", 1, "serves nobody"),
    (f"{V}    real=10.0.0.2 gate\n    fallback=10.0.0.2:80", 3, "one of its real servers"),
    (f'{V}    real=10.0.0.2 gate "l:1" "u:2"', 2, "thresholds have no quotes"),
]


@pytest.mark.parametrize(("text", "line", "reason"), NOTES, ids=[row[2] for row in NOTES])
def test_what_the_reader_should_know(text: str, line: int, reason: str) -> None:
    (notice,) = parse(text).notices
    assert (notice.line, notice.strict) == (line, False)
    assert reason in notice.reason


REFUSED = [
    ("conecttimeout=3", 1, "unknown directive 'conecttimeout'; did you mean 'checktimeout'?"),
    ("timeout=3", 1, "timeout is no longer a directive: write checktimeout"),
    (f"{V}    connecttimeout=3", 2, "connecttimeout is no longer a directive: write checktimeout"),
    ("Quiescent=yes", 1, "unknown directive 'Quiescent'; did you mean 'quiescent'?"),
    ("hello", 1, "'hello' is no directive: write name=value"),
    ("quiescent=maybe", 1, "quiescent must be yes or no, not 'maybe'"),
    ("quiescent=", 1, "quiescent has no value: write yes or no"),
    ("  quiescent=yes", 1, "quiescent is indented but not below a virtual="),
    ("service=http", 1, "service is for one virtual service: indent it below its virtual="),
    (f"{V}    autoreload=yes", 2, "autoreload is for the whole file"),
    (f"{V}    virtual=10.0.0.2:80", 2, "virtual opens a virtual service: write it without indent"),
    ("checktimeout=0", 1, "checktimeout must be in 1..2147483647, not 0"),
    ("checktimeout=soon", 1, "checktimeout must be a number in 1..2147483647, not 'soon'"),
    ("checktimeout=" + "9" * 5000, 1, "checktimeout must be in 1..2147483647"),
    (f"{V}    checkport=65536", 2, "checkport must be in 1..65535, not 65536"),
    (f"{V}    persistent=0", 2, "persistent must be in 1..2678400, not 0"),
    (f"{V}    persistent=2678401", 2, "persistent must be in 1..2678400, not 2678401"),
    (f"{V}    checktype=conect", 2, "or a number, not 'conect'; did you mean 'connect'?"),
    (f"{V}    service=htttp", 2, "not 'htttp'; did you mean 'http'?"),
    (f"{V}    protocol=sctp", 2, "protocol must be tcp or udp, not 'sctp'"),
    (f"{V}    protocol=fwm", 2, "protocol must be tcp or udp for an address"),
    ("virtual=7\n    protocol=tcp", 2, "protocol must be fwm for a firewall mark"),
    (f"{V}    httpmethod=PUT", 2, "httpmethod must be GET or HEAD, not 'PUT'"),
    (f"{V}    scheduler=1", 2, "scheduler must be a word of lower-case letters, not '1'"),
    (f'{V}    request=""', 2, "request has no value"),
    (f'{V}    request="abc', 2, "the closing quote of request is missing"),
    (f'{V}    receive="("', 2, "receive is not a regular expression (missing )"),
    (f"{V}    netmask=255.255.256.0", 2, "netmask must be like 255.255.255.0"),
    ("virtual6=[::1]:80\n    netmask=129", 2, "netmask must be in 1..128 for IPv6"),
    ("emailalertstatus=none,running", 1, "emailalertstatus says none and something else"),
    ("emailalertstatus=runing", 1, "not 'runing'; did you mean 'running'?"),
    ("virtual=192.0.2.1\n", 1, "is never a firewall mark: write virtual=192.0.2.1:80"),
    ("virtual=0\n", 1, "firewall mark 0 is not in 1..4294967295"),
    ("virtual=4294967296\n", 1, "firewall mark 4294967296 is not in 1..4294967295"),
    ("virtual=0x10\n", 1, "'0x10' is no virtual service"),
    ("virtual=\n", 1, "virtual has no value: write an address"),
    ("virtual=10.0.0.256:80\n", 1, "'10.0.0.256' is no IPv4 address: write four numbers"),
    ("virtual=010.0.0.1:80\n", 1, "'010.0.0.1' is no IPv4 address"),
    ("virtual=10.0.0.1:65536\n", 1, "port '65536' is not in 0..65535"),
    ("virtual=10.0.0.1:nope\n", 1, "port 'nope' is not in /etc/services for tcp"),
    (f"virtual=10.0.0.1:http\n{'    protocol=udp'}", 1, "is not in /etc/services for udp"),
    ("virtual=224.0.0.1:80\n", 1, "224.0.0.1 is not the address of one host"),
    ("virtual=0.0.0.0:80\n", 1, "0.0.0.0 is not the address of one host"),
    ("virtual=255.255.255.255:80\n", 1, "255.255.255.255 is not the address of one host"),
    ("virtual6=[ff02::1]:80\n", 1, "ff02::1 is not the address of one host"),
    ("virtual6=2001:db8::1:80\n", 1, "write an IPv6 address in brackets"),
    ("virtual6=[::ffff:1.2.3.4]:80\n", 1, "is no IPv6 address"),
    ("virtual6=10.0.0.1:80\n", 1, "10.0.0.1 is IPv4, but an IPv6 address belongs here"),
    ("virtual=nowhere:80\n", 1, "host 'nowhere' has no IPv4 address (name not known)"),
    ("virtual=10.0.0.1:0\n", 1, "10.0.0.1:0 is every port and needs persistence"),
    (f"{V}    service=http\n{V}    service=http", 3, "is already defined at line 1"),
    ("virtual=7\n\nvirtual=7\n\n", 3, "virtual service fwm 7 is already defined at line 1"),
    (f"{V}    real=10.0.0.2", 2, "does not say how the server is reached: write 10.0.0.2 gate"),
    (f"{V}    real=10.0.0.2 Gate", 2, "'Gate' is no forwarding method: write gate"),
    (f"{V}    real=10.0.0.2 masq", 2, "10.0.0.2 masq: this director does direct routing only"),
    (f"{V}    real=10.0.0.2 ipip 2", 2, "direct routing only, write gate"),
    (f"{V}    fallback=10.0.0.2 masq", 2, "direct routing only, write gate"),
    (f"{V}    real=10.0.0.2 gate -5", 2, "weight must be in 0..65535, not '-5'"),
    (f"{V}    real=10.0.0.2 gate 65536", 2, "weight must be in 0..65535, not 65536"),
    (f"{V}    real=10.0.0.2 gate {'9' * 5000}", 2, "is too large for a real server"),
    (f"{V}    real=10.0.0.2 gate 5 6", 2, "'5 6' says nothing after the method"),
    (f"{V}    real=10.0.0.2 gate x5", 2, "'x5' says nothing after the method"),
    (f"{V}    real=10.0.0.2 gate 5 x", 2, "'5 x' says nothing after the method"),
    (f'{V}    real=10.0.0.2 gate 5 "a"', 2, "has both strings or none"),
    (f'{V}    real=10.0.0.2 gate "a" , "b"', 2, "says nothing after the method"),
    (f'{V}    real=10.0.0.2 gate "a", "("', 2, "receive is not a regular expression"),
    (f"{V}    real=10.0.0.2 gate l:9 u:3", 2, "lower threshold 9 is above upper threshold 3"),
    (f"{V}    real=10.0.0.2::5060 gate", 2, "'10.0.0.2::5060' is no server"),
    (f"{V}    real=10.0.0.9->10.0.0.1 gate", 2, "runs backwards"),
    (f"{V}    real=10.0.0.0->10.0.16.0 gate", 2, "has 4097 servers, at most 4096 are read"),
    (f"{V}    real=10.0.0.1-> 10.0.0.2 gate", 2, "is no server"),
    ("virtual6=9\n    real6=[::1]->[::2] gate", 2, "a range of real servers is IPv4 only"),
    (f"{V}    real=[::1] gate", 2, "::1] is IPv6, but an IPv4 address belongs here"),
    (f"{V}    real6=[::1] gate", 2, "real6 in an IPv4 virtual service: write real"),
    (f"{V}    fallback6=[::1]", 2, "fallback6 in an IPv4 virtual service: write fallback"),
    (f"{V}    fallback=10.0.0.2 gate 1", 2, "a fallback is HOST[:PORT] [gate]"),
    (f"{V}    fallback=http://10.0.0.2/", 2, "is no server: write HOST or HOST:PORT"),
    (f"{V}    fallback=10.0.0.2->10.0.0.3", 2, "a fallback is one server"),
    ("fallback=", 1, "fallback has no value"),
    ("fallback6=::1", 1, "'::1' is no server"),
]


@pytest.mark.parametrize(
    ("text", "line", "reason"), REFUSED, ids=[sentence(row) for row in REFUSED]
)
def test_what_is_refused_says_where_and_why(text: str, line: int, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert (caught.value.file, caught.value.line) == ("a.cf", line)
    assert reason in caught.value.reason
    assert str(caught.value).startswith(f"a.cf:{line}: error: ")


NOT_DONE = [
    ("virtual=7\n\n", 1, "firewall mark"),
    ("virtual6=7\n\n", 1, "firewall mark"),
    (f"{V}    service=http\n    scheduler=nosuch", 3, "not 'nosuch'"),
]


@pytest.mark.parametrize(("text", "line", "reason"), NOT_DONE)
def test_what_the_director_cannot_leave_out_is_refused(text: str, line: int, reason: str) -> None:
    parse(text)
    with pytest.raises(ConfigError) as caught:
        accept(text)
    assert caught.value.line == line
    assert reason in caught.value.reason


def test_ipv6_virtual_services_are_taken() -> None:
    config = accept(
        "virtual6=[2001:db8::1]:80\n    real6=[2001:db8::2]:80 gate\n"
        "    fallback6=[2001:db8::3]\n    persistent=60\n    netmask=64\n"
    )
    assert [each.name for each in config.virtuals] == ["[2001:db8::1]:80"]
    assert config.notices == ()


@pytest.mark.parametrize("what", sorted(OTHERWISE))
def test_what_is_done_otherwise_is_told_once(what: str) -> None:
    row = BY_NAME[what.partition("=")[0]]
    value = what.partition("=")[2] or {"yes or no": "yes", "number": "3"}.get(row.kind.value, "all")
    line = f"{row.name}={value}\n"
    if row.level.value == "global":
        text, where = f"{line}{line}", (1, 2)
    else:
        text = f"{V}    protocol=udp\n    {line}virtual=10.0.0.2:80\n    protocol=udp\n    {line}"
        where = (3,)
    (notice,) = [notice for notice in accept(text).notices if notice.reason == OTHERWISE[what]]
    assert notice.line in where
    assert not notice.strict


def test_what_is_switched_off_is_not_told_of() -> None:
    assert accept(f"fork=no\nsupervised=no\nautoreload=no\n{V}    ops=no\n").notices == ()


def test_other_forwarding_methods_can_be_left_out() -> None:
    config = accept(
        f"{V}    real=10.0.0.2 masq\n    real=10.0.0.3 gate\n    fallback=10.0.0.4 ipip\n",
        skip_unsupported=True,
    )
    assert [str(real.address) for real in config.virtuals[0].real] == ["10.0.0.3"]
    assert config.virtuals[0].fallback is None
    assert config.notices == (
        Notice("10.0.0.2 is left out: masq is not direct routing", 2),
        Notice("10.0.0.4 is left out: ipip is not direct routing", 4),
    )


def test_a_missing_file_is_their_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file") as caught:
        load(tmp_path / "no.cf")
    assert caught.value.line == 0


def test_names_are_asked_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    assert names.resolve("127.0.0.1", 4) == IPv4Address("127.0.0.1")
    assert names.resolve("::1", 6) == IPv6Address("::1")
    monkeypatch.setenv("HOSTNAME", "one")
    assert names.host_name() == "one"
    monkeypatch.delenv("HOSTNAME")
    assert names.host_name() == os.uname().nodename


def test_latin_1_is_passed_through(tmp_path: Path) -> None:
    path = tmp_path / "a.cf"
    path.write_bytes(b'# gr\xfc\xdfe\nvirtual=10.0.0.1:80\n    receive="\xe9"\n')
    receive = load(path).virtuals[0].check.receive
    assert receive.encode("utf-8", "surrogateescape") == b"\xe9"


_PIECES = (
    *BY_NAME,
    *(" ", "    ", "\t", "\n", "\r", "\x1c", "\xa0", "\u0663", "#", '"', "->", ":", "[", "]", "="),
    *("10.0.0.1", "::1", "web", "80", "0", "-5", "l:1", "u:2", "gate", "masq", "yes", "(", "\\"),
    *("virtual=10.0.0.1:80\n    ", "\n    real=10.0.0.2:80 gate "),
)


@given(st.one_of(st.text(), st.lists(st.sampled_from(_PIECES)).map("".join)), st.booleans())
def test_any_text_is_survived(text: str, skip: bool) -> None:
    line = 0
    try:
        accept(text, skip_unsupported=skip)
    except ConfigError as error:
        line = error.line
    # Lines may end in CR alone, too.
    assert 0 <= line <= max(text.count("\n"), text.count("\r")) + 1
