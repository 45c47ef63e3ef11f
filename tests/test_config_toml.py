"""The native form: the same configuration as ldirectord's, its own keys, errors with their line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_forwarder.config import (
    Address,
    Config,
    ConfigError,
    MacMode,
    Settings,
    Virtual,
    load,
    load_text,
    parse_text,
)
from dr_forwarder.config.directive import Directive, Kind, Level
from dr_forwarder.config.directives import DIRECTIVES
from dr_forwarder.config.native import DIRECTOR, REAL, TARGET
from dr_forwarder.vlan import Vlan

DATA = Path(__file__).parent / "data"
V = '[[virtual]]\naddress = "10.0.0.1:80"\n'


def resolver(host: str, family: int) -> Address:
    if host != "web":
        raise OSError("name not known")
    return IPv6Address("2001:db8::9") if family == 6 else IPv4Address("10.0.0.9")


def service_ports(name: str, protocol: str) -> int:
    raise OSError("service not found")


def parse(text: str, path: str = "a.toml") -> Config:
    return parse_text(
        text, path=path, resolver=resolver, service_ports=service_ports, host_name="director"
    )


def essence(config: Config) -> Config:
    """The configuration without where it was written."""

    def bare(virtual: Virtual) -> Virtual:
        fallback = virtual.fallback and replace(virtual.fallback, line=0)
        real = tuple(replace(server, line=0) for server in virtual.real)
        return replace(virtual, line=0, fallback=fallback, real=real)

    virtuals = tuple(bare(virtual) for virtual in config.virtuals)
    return replace(config, path="", notices=(), settings=Settings(), virtuals=virtuals)


@pytest.mark.parametrize("name", ["tutorial", "everything"])
def test_both_forms_say_the_same(name: str) -> None:
    forms = [parse((DATA / f"{name}{end}").read_text(), f"a{end}") for end in (".cf", ".toml")]
    assert essence(forms[0]) == essence(forms[1])
    assert not [notice for form in forms for notice in form.notices if notice.strict]


def test_both_forms_of_everything_have_every_directive() -> None:
    opened = ("virtual", "virtual6", "real6")
    cf, toml = ((DATA / f"everything{end}").read_text() for end in (".cf", ".toml"))
    theirs = [row.name for row in DIRECTIVES if not row.ours]
    assert [name for name in theirs if f"\n{name} = " not in f"\n{_flat(cf)}"] == []
    native = {*theirs, *(row.name for row in REAL)} - {*opened}
    assert {name for name in native if f"\n{name} = " not in toml} == set()


def _flat(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines())


def test_the_director_has_its_own_settings() -> None:
    assert load(DATA / "tutorial.toml").settings == Settings(
        interface="eth0",
        mac=MacMode.VIRTUAL,
        virtual_router_id=61,
        state_dir=Path("/run/dr-forwarder"),
        timeout_tcp_s=600,
    )


def test_peers_are_mac_addresses() -> None:
    peers = parse('[director]\npeers = ["02:00:00:00:00:3e", "00:00:5E:00:01:3D"]\n').settings.peers
    assert peers == (bytes.fromhex("02000000003e"), bytes.fromhex("00005e00013d"))


@pytest.mark.parametrize(
    ("text", "vlan"), [("100", (100,)), ("[100]", (100,)), ("[200, 100]", (200, 100))]
)
def test_a_vlan_is_a_number_or_two(text: str, vlan: tuple[int, ...]) -> None:
    assert parse(f"[director]\nvlan = {text}\n").settings.vlan == Vlan(vlan)


def test_an_empty_file_has_the_default_settings() -> None:
    assert parse("") == Config(path="a.toml", settings=Settings())


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param('address = "web:80"', "10.0.0.9:80", id="a host is IPv4"),
        pytest.param('address = "web:80"\nipv6 = true', "[2001:db8::9]:80", id="unless it says so"),
        pytest.param('address = "[::1]:80"', "[::1]:80", id="an address says its family"),
        pytest.param("fwmark = 7", "7", id="firewall mark"),
        pytest.param("fwmark = 7\nipv6 = true", "7", id="IPv6 firewall mark"),
    ],
)
def test_what_opens_a_virtual_service(text: str, name: str) -> None:
    (virtual,) = parse(f"[[virtual]]\n{text}\n").virtuals
    assert virtual.name == name
    assert virtual.ipv6 == ("ipv6" in text or "[::" in text)


def test_keys_know_their_line_past_nested_tables() -> None:
    text = f"{V}[[virtual.real]]\naddress = '10.0.0.2'\n\n[[virtual.real]]\naddress = '10.0.0.3'\n"
    config = parse(text + '\n[[virtual]]\naddress = "10.0.0.2:80"\nscheduler = "lc"\n')
    first, second = config.virtuals
    assert (first.line, second.line, second.line_of("scheduler")) == (1, 9, 11)
    assert [real.line for real in first.real] == [3, 6]


def test_a_byte_order_mark_is_nothing() -> None:
    assert parse(f"\ufeff{V}").virtuals[0].line == 1


REFUSED = [
    ("a = ", 1, "not TOML: Invalid value"),
    ("\n[director\n", 2, "not TOML: "),
    ('\n\na = "', 3, "not TOML: "),
    ("x = " + "[" * 5000, 0, "not TOML: "),
    ("colour = 1", 1, "unknown key 'colour' in the file"),
    ('[director]\nlisten = "eth0:9700"', 2, "listen must be ADDRESS:PORT, like 127.0.0.1:9700"),
    ("[director]\nlisten = 9700", 2, "listen must be a string like 127.0.0.1:9700, not 9700"),
    ("[director]\nvlan = 0", 2, "must be in 1..4094, not 0; write vlan = 100 or vlan = [200, 100]"),
    (
        "[director]\nvlan = [1, 2, 3]",
        2,
        "or 200.100 for two tags, not '1.2.3'",
    ),
    ("[director]\nvlan = []", 2, "vlan must be like 100"),
    ('[director]\npeers = ["10.0.0.1"]', 2, "peers must be MAC addresses like 02:"),
    ('[director]\npeers = "02:00:00:00:00:01"', 2, "peers must be a list of MAC addresses"),
    ("[director]\nvlan = true", 2, "vlan must be like 100"),
    ("[director]\nvlan = 1.5", 2, "vlan must be like 100"),
    ("[directer]", 1, "unknown key 'directer' in the file; did you mean 'director'?"),
    ('director = "x"', 1, "director must be a table: write [director]"),
    ('[virtual]\naddress = "10.0.0.1:80"', 1, "virtual must be an array of tables"),
    ("[director]\nworker = 1", 2, "unknown key 'worker' in [director]; did you mean 'workers'?"),
    ("[director]\nquiescent = true", 2, "in [director]; it belongs in [defaults]"),
    ('[defaults]\nscheduler = "wlc"', 2, "in [defaults]; it belongs in [[virtual]]"),
    (f"{V}workers = 1", 3, "in [[virtual]]; it belongs in [director]"),
    (f"{V}weight = 1", 3, "in [[virtual]]; it belongs in [[virtual.real]]"),
    (f"{V}real = 1", 3, "virtual.real must be an array of tables: write [[virtual.real]]"),
    (f"{V}[[virtual.real]]\nport = 1", 4, "unknown key 'port' in [[virtual.real]]"),
    (f"{V}[[virtual.real]]\nweight = 1", 3, 'a real server needs address = "HOST:PORT"'),
    (f"{V}virtual6 = 'x'", 3, "unknown key 'virtual6' in [[virtual]]"),
    ("[defaults]\nquiescent = 'yes'", 2, "quiescent must be true or false, not 'yes'"),
    ("[defaults]\ncheckinterval = '5'", 2, "checkinterval must be a number in 1..2147483647"),
    ("[defaults]\ncheckinterval = true", 2, "checkinterval must be a number in 1..2147483647"),
    ("[defaults]\ncheckinterval = 0", 2, "checkinterval must be in 1..2147483647, not 0"),
    ("[defaults]\ncheckinterval = 2.5", 2, "checkinterval must be a number"),
    ("[defaults]\nsmtp = 1", 2, "smtp must be a string that is not empty, not 1"),
    ("[defaults]\nsmtp = ''", 2, "smtp must be a string that is not empty"),
    ("[defaults]\nemailalert = [1]", 2, "emailalert must be a list of strings, not [1]"),
    ("[defaults]\nemailalert = []", 2, "emailalert has no value"),
    ("[defaults]\nfallback = 1", 2, "fallback must be a string"),
    (f"{V}checktype = 'conect'", 3, "not 'conect'; did you mean 'connect'?"),
    (f"{V}checktype = -1", 3, "checktype must be in 0..2147483647, not -1"),
    (f"{V}receive = '('", 3, "receive is not a regular expression"),
    (f"{V}fallback6 = '[::1]'", 3, "fallback6 in an IPv4 virtual service: write fallback"),
    (f"{V}fallback = '10.0.0.2 masq'", 3, "direct routing only, write gate"),
    ("[[virtual]]\nscheduler = 'rr'", 1, "a virtual service has either address"),
    (f"{V}fwmark = 7", 1, "a virtual service has either address"),
    ("[[virtual]]\nfwmark = 0", 2, "fwmark must be in 1..4294967295, not 0"),
    ("[[virtual]]\naddress = '7'", 2, "write a firewall mark as fwmark = 7"),
    ("[[virtual]]\naddress = '10.0.0.1'", 2, "a dotted quad is never a firewall mark"),
    (f"{V}[[virtual.real]]\naddress = '10.0.0.2'\nmethod = 'masq'", 5, "write gate"),
    (f"{V}[[virtual.real]]\naddress = '10.0.0.2'\nweight = 65536", 5, "must be in 0..65535"),
    (f"{V}[[virtual.real]]\naddress = '10.0.0.2'\nlower = 1", 3, "is above upper threshold 0"),
    (f"{V}[[virtual.real]]\naddress = '::1'", 4, "'::1' is no server"),
    (f"{V}{V}", 3, "virtual service tcp 10.0.0.1:80 is already defined at line 1"),
    ("[director]\nmac = 'mine'", 2, "mac must be auto, virtual or nic, not 'mine'"),
    ("[director]\nvirtual_router_id = 256", 2, "virtual_router_id must be in 1..255, not 256"),
    ("[director]\nworkers = 65", 2, "workers must be in 1..64, not 65"),
]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    REFUSED,
    ids=[f"{row[0].splitlines()[-1][:30]}: {row[2]}" for row in REFUSED],
)
def test_what_is_refused_says_where_and_why(text: str, line: int, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(text, path="a.toml", resolver=resolver, service_ports=service_ports)
    assert (caught.value.file, caught.value.line) == ("a.toml", line)
    assert reason in caught.value.reason


def test_toml_is_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b"\n# \xfc\n")
    with pytest.raises(ConfigError, match="must be UTF-8") as caught:
        load(path)
    assert caught.value.line == 2


_SCALARS = st.one_of(st.booleans(), st.integers(), st.text(), st.floats(allow_nan=False))
_VALUES = st.one_of(_SCALARS, st.lists(_SCALARS, max_size=2))
_KEYS = st.sampled_from(sorted({row.name for row in (*DIRECTIVES, *DIRECTOR, *TARGET, *REAL)}))


def _lines(table: Mapping[str, Any]) -> str:
    # A JSON value of these types is a TOML value too, but for DEL.
    return "".join(
        f"{key} = {json.dumps(value)}\n".replace("\x7f", "") for key, value in table.items()
    )


@given(
    st.sampled_from(["[director]", "[defaults]", "[[virtual]]", f"{V}[[virtual.real]]"]),
    st.dictionaries(_KEYS, _VALUES, max_size=3),
)
def test_any_keys_are_survived(header: str, table: dict[str, Any]) -> None:
    line = 0
    text = f"{header}\n{_lines(table)}"
    try:
        parse(text)
    except ConfigError as error:
        line = error.line
    assert 0 <= line <= text.count("\n") + 1


@given(st.text())
def test_any_text_is_survived(text: str) -> None:
    line = 0
    try:
        parse(text)
    except ConfigError as error:
        line = error.line
    assert 0 <= line <= text.count("\n") + 1


_WORDS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8)
_BY_KIND: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.FLAG: st.booleans(),
    Kind.CHECKTYPE: st.one_of(
        st.integers(0, 9), st.sampled_from(["negotiate", "connect", "ping", "external-perl"])
    ),
    Kind.LETTERS: st.sampled_from(["rr", "wrr", "sh", "mh"]),
    Kind.WORD: _WORDS,
    Kind.TEXT: st.lists(_WORDS, min_size=1, max_size=3).map(" ".join),
    Kind.PATTERN: _WORDS,
}


def _value(row: Directive) -> st.SearchStrategy[Any]:
    if row.kind is Kind.CHOICE:
        return st.sampled_from(row.choices)
    if row.kind is Kind.NUMBER:
        return st.integers(max(row.low, 1), min(row.high, 65535))
    return _BY_KIND[row.kind]


def _table(*levels: Level) -> st.SearchStrategy[dict[str, Any]]:
    special = {"netmask", "protocol"}
    rows = [row for row in DIRECTIVES if row.level in levels and row.name not in special]
    known = {*_BY_KIND, Kind.CHOICE, Kind.NUMBER}
    optional = {row.name: _value(row) for row in rows if row.kind in known}
    return st.fixed_dictionaries({}, optional=optional)


_ADDRESSES = st.ip_addresses(v=4).filter(
    lambda address: not (address.is_multicast or address.is_unspecified or address.is_reserved)
)
_REALS = st.fixed_dictionaries(
    {
        "address": st.builds("{}:{}".format, _ADDRESSES, st.integers(0, 65535)),
        "weight": st.integers(0, 65535),
        "request": _WORDS,
        "receive": _WORDS,
        "lower": st.integers(0, 9),
        "upper": st.integers(9, 99),
    }
)
_VIRTUALS = st.tuples(_ADDRESSES, _table(Level.VIRTUAL, Level.BOTH), st.lists(_REALS, max_size=3))


def _as_cf(shared: dict[str, Any], virtuals: list[Any]) -> str:
    def one(name: str, value: Any) -> str:
        if isinstance(value, bool):
            return f"{name} = {'yes' if value else 'no'}"
        needs = {row.name for row in DIRECTIVES if row.quotes.value == "needed"}
        return f'{name} = "{value}"' if name in needs else f"{name} = {value}"

    lines = [one(name, value) for name, value in shared.items()]
    for address, table, reals in virtuals:
        lines.append(f"virtual = {address}:80")
        lines += [f"    {one(name, value)}" for name, value in table.items()]
        lines += [
            "    real = {address} gate {weight} "
            '"{request}", "{receive}" l:{lower} u:{upper}'.format_map(real)
            for real in reals
        ]
    return "\n".join(lines) + "\n\n"


def _as_toml(shared: dict[str, Any], virtuals: list[Any]) -> str:
    text = f"[defaults]\n{_lines(shared)}"
    for address, table, reals in virtuals:
        text += f'[[virtual]]\naddress = "{address}:80"\n{_lines(table)}'
        text += "".join(f"[[virtual.real]]\n{_lines(real)}" for real in reals)
    return text


@given(
    _table(Level.GLOBAL, Level.BOTH),
    st.lists(_VIRTUALS, max_size=3, unique_by=lambda virtual: virtual[0]),
)
def test_the_same_directives_are_the_same_in_both_forms(
    shared: dict[str, Any], virtuals: list[Any]
) -> None:
    cf = parse(_as_cf(shared, virtuals), "a.cf")
    toml = parse(_as_toml(shared, virtuals))
    assert essence(cf) == essence(toml)
    refused = [notice.reason for notice in cf.notices if notice.strict]
    assert [reason for reason in refused if "is not a directive of ldirectord" not in reason] == []


@pytest.mark.parametrize("row", [row for row in DIRECTOR if row.idle], ids=lambda row: row.name)
def test_a_sysctl_that_means_nothing_here_is_accepted_with_the_reason(row: Directive) -> None:
    config = parse(f"[director]\n{row.name} = 1\n")
    assert [(notice.line, notice.strict) for notice in config.notices] == [(2, False)]
    assert config.notices[0].reason == f"{row.name} does nothing: {row.idle}"
    assert config.settings == Settings()


def test_every_sysctl_of_kernel_ipvs_is_a_key() -> None:
    theirs = (
        "am_droprate amemthresh backup_only cache_bypass conn_reuse_mode conntrack debug_level"
        " drop_entry drop_packet est_cpulist est_nice expire_nodest_conn"
        " expire_quiescent_template ignore_tunneled lblc_expiration lblcr_expiration"
        " nat_icmp_send pmtu_disc run_estimation schedule_icmp secure_tcp sloppy_sctp sloppy_tcp"
        " snat_reroute sync_persist_mode sync_ports sync_qlen_max sync_refresh_period"
        " sync_retries sync_sock_size sync_threshold sync_version"
    )
    assert set(theirs.split()) - {row.name for row in DIRECTOR} == set()
