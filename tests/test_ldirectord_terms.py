"""A configuration in ldirectord's own words, and the statements about its grammar one by one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_config_ldirectord import V, accept, one, parse, strict

from dr_forwarder.config import ConfigError
from dr_forwarder.config.directives import CHECK_PORTS, DIRECTIVES, Kind, Level, Quotes
from dr_forwarder.ldirectord.terms import in_terms, service_arguments

WHOLE = """\
checktimeout = 3
quiescent = yes
emailalert = a@x, b@y
execute = other
fallback = 10.0.0.5
virtual = 10.0.0.1:80
\treal = 10.0.0.2:8080 gate 5 "own.html", "yes" l:1 u:9
\treal = 10.0.0.3 gate
\trequest = "index.html"
\treceive = "It works"
\tvirtualhost = www.example.com
\tpersistent = 600
\tnetmask = 255.255.255.0
"""

GLOBALS = {
    "fallback": {"server": "10.0.0.5", "port": 0, "forward": "gate"},
    "fallback6": None,
    "fallbackcommand": None,
    "checktimeout": 3,
    "negotiatetimeout": 3,
    "checkinterval": 10,
    "checkcount": 1,
    "failurecount": 1,
    "quiescent": "yes",
    "readdquiescent": "no",
    "cleanstop": "yes",
    "emailalert": ["a@x", "b@y"],
    "emailalertfreq": 0,
    "emailalertstatus": ["all"],
    "emailalertfrom": None,
    "smtp": None,
    "autoreload": "no",
    "callback": None,
    "logfile": "/var/log/ldirectord.log",
    "execute": ["other"],
    "supervised": "no",
    "fork": "no",
    "maintenancedir": None,
}

VIRTUAL: dict[str, Any] = {
    "protocol": "tcp",
    "server": "10.0.0.1",
    "port": 80,
    "fwm": None,
    "ipv6": False,
    "service": "http",
    "checktype": "negotiate",
    "checkport": None,
    "checkcommand": "/bin/true",
    "virtualhost": "www.example.com",
    "httpmethod": "GET",
    "request": "/index.html",
    "receive": "It works",
    "login": "",
    "passwd": "",
    "database": "",
    "secret": "",
    "scheduler": "wrr",
    "fallback": {"server": "10.0.0.5", "port": 80, "forward": "gate"},
    "checktimeout": 3,
    "negotiatetimeout": 3,
    "failurecount": 1,
    "checkcount": 1,
    "ipvsadm_service_args": "-t 10.0.0.1:80 -s wrr -p 600 -M 255.255.255.0",
}

REAL = [
    {
        "server": "10.0.0.2",
        "port": 8080,
        "forward": "gate",
        "weight": 5,
        "lthreshold": 1,
        "uthreshold": 9,
        "request": "/own.html",
        "receive": "yes",
        "url": "http://10.0.0.2:8080/own.html",
    },
    {
        "server": "10.0.0.3",
        "port": 0,
        "forward": "gate",
        "weight": 1,
        "lthreshold": 0,
        "uthreshold": 0,
        "request": "/index.html",
        "receive": "It works",
        "url": "http://10.0.0.3:80/index.html",
    },
]


def only_virtual(text: str) -> dict[str, Any]:
    (virtual,) = in_terms(parse(text))["virtuals"]
    assert isinstance(virtual, dict)
    return virtual


def test_everything_is_said_with_its_defaults_resolved() -> None:
    said = in_terms(parse(WHOLE))
    rows = {"risecount"}  # ours
    assert {name: v for name, v in said["globals"].items() if name not in rows} == GLOBALS
    (virtual,) = said["virtuals"]
    assert {name: virtual[name] for name in VIRTUAL} == VIRTUAL
    assert virtual["real"] == REAL


def test_every_directive_of_ldirectord_is_said() -> None:
    said = in_terms(parse(WHOLE))
    opening = {"virtual", "virtual6", "real6", "fallback6", "load"}
    for row in (row for row in DIRECTIVES if not row.ours):
        if row.level is not Level.VIRTUAL:
            assert row.name in said["globals"]
        if row.level is not Level.GLOBAL and row.name not in opening:
            assert row.name in said["virtuals"][0]


SERVICES = [
    ("virtual=10.0.0.1:53\n    ops=yes", "-u 10.0.0.1:53 -o -s wrr"),
    (
        "virtual=10.0.0.1:80\n    scheduler=sh\n    schedflags=sh-port",
        "-t 10.0.0.1:80 -s sh -b sh-port",
    ),
    ("virtual=7\n    scheduler=rr", "-f 7 -s rr"),
    ("virtual6=9\n    scheduler=rr", "-f 9 -6 -s rr"),
    ("virtual6=[2001:db8::9]:80\n    scheduler=rr", "-t [2001:db8::9]:80 -s rr"),
    (f"{V}    netmask=255.0.0.0", "-t 10.0.0.1:80 -s wrr"),
]


@pytest.mark.parametrize(("text", "arguments"), SERVICES)
def test_the_arguments_that_ipvsadm_would_get(text: str, arguments: str) -> None:
    assert service_arguments(one(text + "\n")) == arguments


URLS = [
    (f"{V}    real=10.0.0.2 gate", "http://10.0.0.2:80/"),
    (f"{V}    real=10.0.0.2:81 gate\n    checkport=82", "http://10.0.0.2:82/"),
    (f'{V}    real=10.0.0.2 gate "http://h/x", "y"', "http://h/x"),
    (
        f'{V}    real=10.0.0.2 gate\n    service=https\n    request="a?b"',
        "https://10.0.0.2:443/a?b",
    ),
    ("virtual6=[::1]:80\n    real6=[2001:db8::2] gate", "http://[2001:db8::2]:80/"),
]


@pytest.mark.parametrize(("text", "url"), URLS)
def test_the_url_of_a_check(text: str, url: str) -> None:
    assert only_virtual(text)["real"][0]["url"] == url


def test_an_ipv6_address_has_brackets_and_a_mark_has_no_address() -> None:
    assert only_virtual("virtual6=[2001:DB8::9]:80\n\n")["server"] == "[2001:db8::9]"
    mark = only_virtual("virtual6=9\n\n")
    assert (mark["server"], mark["port"], mark["fwm"], mark["ipv6"]) == (None, 0, 9, True)


# ---- Where a directive may stand ----


@pytest.mark.parametrize(
    "name", [row.name for row in DIRECTIVES if row.level is Level.GLOBAL and row.name]
)
def test_a_global_directive_is_refused_in_a_virtual_service(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is for the whole file") as caught:
        parse(f"{V}    {name}=yes\n")
    assert caught.value.line == 2


@pytest.mark.parametrize(
    "name",
    [r.name for r in DIRECTIVES if r.level is Level.VIRTUAL and not r.name.startswith("virtual")],
)
def test_a_directive_of_a_virtual_service_is_refused_globally(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is for one virtual service") as caught:
        parse(f"{name}=yes\n")
    assert caught.value.line == 1


# ---- Quotes ----


def quoted_line(name: str, level: Level, value: str) -> str:
    return f"{name}={value}\n" if level is not Level.VIRTUAL else f"{V}    {name}={value}\n"


NEEDED = [row for row in DIRECTIVES if row.quotes is Quotes.NEEDED]


@pytest.mark.parametrize("row", NEEDED, ids=lambda row: row.name)
def test_quotes_that_ldirectord_needs_may_be_left_out(row: Any) -> None:
    assert strict(parse(quoted_line(row.name, row.level, '"/x"'))) == []
    ((line, reason),) = strict(parse(quoted_line(row.name, row.level, "/x")))
    assert line == (2 if row.level is Level.VIRTUAL else 1)
    assert reason == f"ldirectord needs quotes around the value of {row.name}"


TEXTS = [r for r in DIRECTIVES if r.quotes is Quotes.REFUSED and r.kind is Kind.TEXT]


@pytest.mark.parametrize("row", TEXTS, ids=lambda row: row.name)
def test_quotes_that_ldirectord_keeps_in_the_value_are_taken_off(row: Any) -> None:
    ((_, reason),) = strict(parse(quoted_line(row.name, row.level, '"/x"')))
    assert reason == f"ldirectord takes no quotes around the value of {row.name}"


# ---- Services by ports ----


@pytest.mark.parametrize(("service", "port"), CHECK_PORTS.items())
def test_a_port_stands_for_a_service_and_back(service: str, port: int) -> None:
    said = only_virtual(f"virtual=10.0.0.1:{port}\n    real=10.0.0.2 gate\n")
    assert said["service"] == service
    assert said["real"][0]["url"].startswith(f"{service}://10.0.0.2:{port}/")
    mark = only_virtual(f"virtual=7\n    service={service}\n    real=10.0.0.2 gate\n")
    assert mark["real"][0]["url"].startswith(f"{service}://10.0.0.2:{port}/")


# ---- What is not direct routing ----

MIXED = f"""\
{V}    real=10.0.0.2 masq
    real=10.0.0.3 gate
    real=10.0.0.4 ipip 5
    fallback=10.0.0.5 masq
"""


def test_every_server_that_is_not_reached_by_gate_is_told_with_its_line() -> None:
    with pytest.raises(ConfigError) as caught:
        accept(MIXED)
    said = str(caught.value).splitlines()
    assert [line.partition(": error: ")[0] for line in said] == ["a.cf:2", "a.cf:4", "a.cf:5"]
    assert all("direct routing only" in line and "--skip-unsupported" in line for line in said)


def test_an_error_of_the_grammar_goes_before_them() -> None:
    with pytest.raises(ConfigError, match="unknown directive") as caught:
        accept(f"{MIXED}    nosuch=1\n")
    assert caught.value.line == 6


def test_a_mark_without_rules_may_be_only_told_of() -> None:
    from dr_forwarder.config import load_text

    config = load_text("virtual=7\n    service=none\n", path="a.cf", rules_later=True)
    (notice,) = config.notices
    assert (notice.line, notice.strict) == (1, False)
    assert "firewall mark 7 is defined nowhere" in notice.reason


# ---- Round trips ----

WORD = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)
QUOTED = st.text(
    st.characters(
        codec="ascii",
        exclude_characters='"#\\\t[](){}*+?|^$',
        categories=("L", "N", "P", "S", "Zs"),
    ),
    min_size=1,
).filter(lambda text: text == text.strip())
COUNT = st.integers(1, 2**31 - 1)
YES = st.sampled_from(["yes", "no"])


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "checktimeout": COUNT,
            "negotiatetimeout": COUNT,
            "checkinterval": COUNT,
            "failurecount": COUNT,
            "checkcount": COUNT,
            "quiescent": YES,
            "cleanstop": YES,
            "readdquiescent": YES,
            "autoreload": YES,
            "emailalertfreq": st.integers(0, 100),
        },
    )
)
def test_global_values_come_back_as_written(written: dict[str, object]) -> None:
    text = "".join(f"{name} = {value}\n" for name, value in written.items())
    said = in_terms(parse(text))["globals"]
    assert {name: said[name] for name in written} == written


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "request": QUOTED.map(lambda text: "/" + text),
            "receive": QUOTED,
            "login": QUOTED,
            "passwd": QUOTED,
            "database": QUOTED,
            "secret": QUOTED,
        },
    )
)
def test_quoted_values_come_back_as_written(written: dict[str, str]) -> None:
    text = V + "".join(f'    {name}="{value}"\n' for name, value in written.items())
    said = only_virtual(text)
    assert {name: said[name] for name in written} == written


@given(
    st.lists(
        st.tuples(
            st.ip_addresses(v=4, network="10.0.0.0/8"),
            st.integers(1, 65535),
            st.integers(0, 65535),
            WORD,
            WORD,
        ),
        max_size=5,
    )
)
def test_real_servers_come_back_as_written(written: list[tuple[Any, ...]]) -> None:
    lines = [f'    real={a}:{p} gate {w} "{ask}", "{get}"\n' for a, p, w, ask, get in written]
    said = only_virtual(V + "".join(lines) + "    service=http\n")["real"]
    assert [(r["server"], r["port"], r["weight"], r["request"], r["receive"]) for r in said] == [
        (str(a), p, w, f"/{ask}", get) for a, p, w, ask, get in written
    ]
