"""A keepalived.conf is taken as keepalived itself takes it: its defaults, its quotes, its files."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from test_config_ldirectord import resolver, service_ports
from test_importing import loaded, said
from test_plan import PATIENT

from dr_forwarder.cli.import_ import command
from dr_forwarder.config import ConfigError, load_text
from dr_forwarder.config.draft import Reading
from dr_forwarder.config.model import Virtual
from dr_forwarder.importing import Imported, Kind, Verdict, convert, recognise
from dr_forwarder.ipvsadm.names import SystemNames

KEEPALIVED = shutil.which("keepalived", path="/usr/sbin:/sbin")
oracle = pytest.mark.skipif(KEEPALIVED is None, reason="needs keepalived (see .ci/packages)")


def imported(text: str, *, host: str = "web") -> Imported:
    reading = Reading("a.conf", resolver, service_ports, f"{host}.example.com")
    return convert(text, Kind.KEEPALIVED, reading, SystemNames())


def conf(service: str = "", server: str = "", opening: str = "10.0.0.1 80") -> str:
    return (
        f"virtual_server {opening} {{\nlb_kind DR\n{service}\n"
        f"real_server 10.0.0.2 80 {{\n{server}\n}}\n}}\n"
    )


def one(service: str = "", server: str = "", opening: str = "10.0.0.1 80") -> Virtual:
    (virtual,) = loaded(imported(conf(service, server, opening))).virtuals
    return virtual


def verdict(text: str, start: str) -> Verdict:
    (line,) = [line for line in imported(text).lines if line.text.startswith(start)]
    return line.verdict


# ---- Defaults ----


def test_without_a_protocol_it_is_udp_and_said() -> None:
    assert one().protocol == "udp"
    assert verdict(conf(), "virtual_server") is Verdict.DIFFERS


@pytest.mark.parametrize(
    ("server", "failures"),
    [
        ("TCP_CHECK {\n}", 2),
        ("HTTP_GET {\nurl {\npath /\n}\n}", 2),
        ("PING_CHECK {\n}", 2),
        ("DNS_CHECK {\n}", 4),
        ("MISC_CHECK {\nmisc_path /bin/true\n}", 1),
        ("MISC_CHECK {\nmisc_path /bin/true\nretry 2\n}", 3),
        ("TCP_CHECK {\nretry 0\n}", 1),
        ("retry 4\nTCP_CHECK {\n}", 5),
        ("retry 4\nTCP_CHECK {\nretry 1\n}", 2),
    ],
)
def test_retries_are_those_of_keepalived(server: str, failures: int) -> None:
    assert one("protocol TCP", server).check.failure_count == failures


def test_what_a_service_says_holds_for_its_checkers() -> None:
    service = "protocol TCP\nretry 5\nconnect_timeout 7\ndelay_loop 9"
    check = one(service, "TCP_CHECK {\n}").check
    assert (check.failure_count, check.check_timeout_s, check.interval_s) == (6, 7, 9)
    check = one(service, "retry 2\nconnect_timeout 3\nTCP_CHECK {\nconnect_timeout 4\n}").check
    assert (check.failure_count, check.check_timeout_s, check.interval_s) == (3, 4, 9)


def test_a_program_has_the_interval_as_its_limit() -> None:
    check = one("protocol TCP\ndelay_loop 9", "MISC_CHECK {\nmisc_path /bin/true\n}").check
    assert check.check_timeout_s == 9


def test_granularity_alone_makes_a_service_persistent() -> None:
    virtual = one("protocol TCP\npersistence_granularity 255.255.255.0")
    assert (virtual.persistent_s, virtual.netmask) == (360, "255.255.255.0")


def test_a_service_that_is_there_already_is_left_out() -> None:
    made = imported(conf("protocol TCP") + conf("protocol UDP") + conf("protocol TCP"))
    assert [virtual.protocol for virtual in loaded(made).virtuals] == ["tcp", "udp"]
    assert "10.0.0.1:80 is left out: another virtual_server has it" in said(made, 15)


def test_a_sorry_server_of_the_other_family_is_left_out() -> None:
    made = imported(conf("protocol TCP\nsorry_server 2001:db8::9 80"))
    assert loaded(made).virtuals[0].fallback is None
    assert said(made, 4) == "differs: left out: it is of another family"


def test_an_sctp_service_is_left_out_and_no_tcp_service_made_of_it() -> None:
    made = imported(conf("protocol SCTP", "TCP_CHECK {\n}") + conf("protocol TCP"))
    assert [virtual.protocol for virtual in loaded(made).virtuals] == ["tcp"]
    lines = [line for line in made.lines if line.number <= 5]
    assert {line.verdict for line in lines} == {Verdict.DIFFERS}
    assert said(made, 1).startswith("differs: not taken: a file has no SCTP services")


def test_of_a_mark_the_protocol_sctp_says_nothing() -> None:
    assert one("protocol SCTP", opening="fwmark 3").fwmark == 3


def test_a_byte_order_mark_is_no_part_of_the_first_word() -> None:
    text = "\ufeff" + conf("protocol TCP")
    assert recognise(text) is Kind.KEEPALIVED
    assert len(loaded(imported(text)).virtuals) == 1


def test_every_port_is_persistent() -> None:
    assert one("protocol TCP", opening="10.0.0.1").persistent_s == 360


def test_servers_with_one_path_may_look_for_different_text() -> None:
    checker = "real_server 10.0.0.{} 80 {{\nHTTP_GET {{\nurl {{\npath /a\nregex {}\n}}\n}}\n}}\n"
    servers = checker.format(2, "one") + checker.format(3, "two")
    made = imported(f"virtual_server 10.0.0.1 80 {{\nlb_kind DR\nprotocol TCP\n{servers}}}\n")
    (virtual,) = loaded(made).virtuals
    assert virtual.check.receive == "one"
    assert [(real.request, real.receive) for real in virtual.real] == [(None, None), ("/a", "two")]


def test_a_mark_has_no_protocol() -> None:
    virtual = one("protocol TCP\nops", opening="fwmark 3")
    assert (virtual.protocol, virtual.fwmark, virtual.one_packet) == ("fwm", 3, False)


def test_a_marks_family_is_that_of_its_servers() -> None:
    text = conf(opening="fwmark 3").replace("10.0.0.2 80", "2001:db8::2")
    assert loaded(imported(text)).virtuals[0].ipv6


# ---- What keepalived does not take ----

STATEMENTS = [
    *("lb_algo WRR", "lb_algo rr", "lb_algo 'rr'", 'lb_algo "rr"', "lb_algo rr#x", "lb_algo rr!x"),
    *("lb_kind dr", "lb_kind FOO", "persistence_timeout 0", "persistence_timeout abc"),
    *("persistence_timeout 9", "persistence_timeout 2678401", "persistence_granularity foo"),
    *("persistence_granularity 255.255.0.0", "protocol XYZ", "protocol udp", "delay_loop 0"),
    *("delay_loop abc", "delay_loop 5", "retry -1", "retry 0", "nosuch 1", "sh-port"),
    *("connect_timeout 0", "connect_timeout 3", "quorum 0"),
]
OF_SERVERS = [
    *("weight -1", "weight abc", "weight 7", "weight 2147483648", "uthreshold 5", "foo 1"),
    *("lthreshold x", "lb_kind dr", "retry 0", "delay_loop x", "connect_timeout 4"),
]
OF_CHECKERS = ["connect_port 99999", "connect_port 81", "retry -1", "connect_timeout 0", "foo 1"]


def complained(text: str, number: int, path: Path) -> bool:
    path.write_text(text)
    said = subprocess.run(
        [str(KEEPALIVED), "-t", "-f", str(path)], capture_output=True, text=True, timeout=60
    )
    return re.search(rf"\bLine {number}\)", said.stderr) is not None


@oracle
@pytest.mark.parametrize("statement", STATEMENTS)
def test_what_keepalived_complains_of_is_not_the_same(statement: str, tmp_path: Path) -> None:
    text = conf(f"{statement}\nprotocol TCP")
    if complained(text, 3, tmp_path / "a.conf"):
        assert verdict(text, statement) is not Verdict.SAME


@oracle
@pytest.mark.parametrize("statement", OF_SERVERS)
def test_what_it_complains_of_in_a_server_is_not_the_same(statement: str, tmp_path: Path) -> None:
    text = conf("protocol TCP", f"{statement}\nnotify_up /bin/x")
    if complained(text, 5, tmp_path / "a.conf"):
        assert verdict(text.replace("lb_kind DR\n", "", 1), statement) is not Verdict.SAME


@oracle
@pytest.mark.parametrize("statement", OF_CHECKERS)
def test_what_it_complains_of_in_a_checker_is_not_the_same(statement: str, tmp_path: Path) -> None:
    text = conf("protocol TCP", f"TCP_CHECK {{\n{statement}\n}}")
    if complained(text, 6, tmp_path / "a.conf"):
        assert verdict(text, statement) is not Verdict.SAME


@pytest.mark.parametrize(
    ("service", "path", "value"),
    [
        ("lb_algo WRR", "scheduler", "wlc"),
        ("lb_algo rr#x", "scheduler", "rr"),
        ("lb_algo rr!x", "scheduler", "rr"),
        ("persistence_timeout 0", "persistent_s", None),
        ("lb_algo dh\nsh-port", "scheduler_flags", None),
        ("lb_algo sh\nflag-1\nsh-port", "scheduler_flags", "flag-1,sh-port"),
        ("inhibit_on_failure", "quiescent", True),
        ("virtualhost", "check", None),
        ("protocol TCP\nops", "one_packet", False),
        ("delay_loop abc", "check", None),
    ],
)
def test_what_it_does_not_take_is_not_written(service: str, path: str, value: object) -> None:
    virtual = one(service)
    if path != "check":
        assert getattr(virtual, path) == value
    assert virtual.check.interval_s == 60


def test_an_unknown_method_is_not_direct_routing() -> None:
    made = imported(conf().replace("lb_kind DR", "lb_kind dr"))
    assert loaded(made).virtuals[0].real == ()
    assert [line.verdict for line in made.lines][1] is Verdict.DIFFERS


def test_a_server_that_is_there_twice_counts_once() -> None:
    text = conf("protocol TCP").replace("}\n}", "}\nreal_server 10.0.0.2 80 {\n}\n}")
    assert len(loaded(imported(text)).virtuals[0].real) == 1


# ---- Quotes, definitions, conditions, files ----


def test_definitions_stand_for_what_they_are_at_that_moment() -> None:
    text = (
        "$BASE=10.2.${SUB}\n$SUB=0\n"
        "$RS= \\\n  real_server ${BASE}.2 $PORT { \\\n   weight 3 \\\n  }\n"
        "$PORT=80\nvirtual_server ${BASE}.1 $PORT {\nlb_kind DR\nprotocol TCP\n$RS\n}\n"
        "$SUB=10\nvirtual_server ${BASE}.1 $PORT {\nlb_kind DR\nprotocol TCP\n$RS\n}\n"
    )
    config = loaded(imported(text))
    assert [virtual.name for virtual in config.virtuals] == ["10.2.0.1:80", "10.2.10.1:80"]
    assert [str(virtual.real[0].address) for virtual in config.virtuals] == [
        "10.2.0.2",
        "10.2.10.2",
    ]
    assert config.virtuals[0].real[0].weight == 3


@pytest.mark.parametrize(("host", "scheduler"), [("web", "rr"), ("other", "sh")])
def test_conditions_go_by_the_hosts_name(host: str, scheduler: str) -> None:
    text = conf("@web lb_algo rr\n@^web lb_algo sh\nprotocol TCP")
    made = imported(text, host=host)
    assert loaded(made).virtuals[0].scheduler == scheduler
    assert [line.verdict for line in made.lines if line.text.startswith("@")].count(
        Verdict.DIFFERS
    ) == 1


def test_a_sequence_is_told_of() -> None:
    made = imported("~SEQ(A, 1, 2) virtual_server 10.0.0.$A 80 { }\n" + conf())
    assert "write out what ~SEQ" in made.lines[0].how


def test_quotes_keep_blanks_comments_and_braces() -> None:
    check = one(
        "protocol TCP", 'HTTP_GET {\nurl {\npath "/a b#c!{d}"\nregex "a\\"b\\.c"\n}\n}'
    ).check
    assert (check.request, check.receive) == ("/a b#c!{d}", 'a"b\\.c')


def test_included_files_are_read_and_told_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    main = tmp_path / "keepalived.conf"
    main.write_text("include conf.d/*.conf\ninclude nosuch.conf\n")
    for number in (1, 2):
        (tmp_path / f"conf.d/{number}.conf").write_text(
            conf("protocol TCP\nomega", opening=f"10.0.0.{number} 80")
        )
    done = CliRunner().invoke(command, [str(main)])
    assert done.exit_code == 0, done.stderr
    assert 'address = "10.0.0.1:80"' in done.stdout
    assert 'address = "10.0.0.2:80"' in done.stdout
    assert f"{main}:2: differs: include nosuch.conf (not taken: no such file)" in done.stderr
    assert f"{tmp_path}/conf.d/2.conf:4: differs: omega" in done.stderr


def test_an_error_in_an_included_file_says_where(tmp_path: Path) -> None:
    main, other = tmp_path / "keepalived.conf", tmp_path / "other.conf"
    main.write_text("global_defs {\n}\n\ninclude other.conf\n")
    other.write_text("\nvirtual_server x 80 {\n}\n")
    done = CliRunner().invoke(command, [str(main)])
    assert isinstance(done.exception, ConfigError)
    assert (done.exception.file, done.exception.line) == (str(other), 2)


def test_a_file_that_includes_itself_ends(tmp_path: Path) -> None:
    main = tmp_path / "keepalived.conf"
    main.write_text("global_defs {\n}\ninclude keepalived.conf\n$A=$A\n$A\n")
    assert CliRunner().invoke(command, [str(main)]).exit_code == 0


def test_latin_1_is_imported(tmp_path: Path) -> None:
    path, out = tmp_path / "a.cf", tmp_path / "a.toml"
    path.write_bytes(b"virtual=10.0.0.1:80\n    comment=Gr\xfc\xdfe\n    real=10.0.0.2 gate\n")
    done = CliRunner().invoke(command, [str(path), "-o", str(out)])
    assert done.exit_code == 0
    assert 'comment = "Grüße"' in out.read_text()
    assert f"{path}:2: differs: comment=Grüße (its bytes are no UTF-8" in done.stderr


# ---- What is written can be read ----

NUMBERS = st.sampled_from(["", "0", "1", "7", "-1", "2.5", "70000", "99999999999", "x", '"'])
WORDS = st.sampled_from(["", "rr", "sh", "WRR", "DR", "NAT", "dr", "TCP", "UDP", "SCTP", "on", "("])
SERVICE = st.sampled_from(
    [
        "lb_algo",
        "lb_kind",
        "protocol",
        "persistence_timeout",
        "persistence_granularity",
        "ops",
        "delay_loop",
        "retry",
        "sh-port",
        "mh-fallback",
        "flag-3",
        "virtualhost",
        "quorum",
        "inhibit_on_failure",
        "connect_timeout",
        "smtp_alert",
        "sorry_server",
        "ip_family",
    ]
)
SERVER = st.sampled_from(
    ["weight", "uthreshold", "lthreshold", "lb_kind", "retry", "delay_loop", "virtualhost"]
)
CHECKER = st.sampled_from(
    [
        "connect_port",
        "retry",
        "connect_timeout",
        "path",
        "regex",
        "virtualhost",
        "misc_path",
        "misc_timeout",
        "name",
        "type",
        "status_code",
        "delay_loop",
    ]
)
KINDS = st.sampled_from(["HTTP_GET", "TCP_CHECK", "DNS_CHECK", "MISC_CHECK", "SMTP_CHECK"])


def statements(keywords: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    lines = st.builds(lambda k, v: f"{k} {v}\n", keywords, NUMBERS | WORDS)
    return st.lists(lines, max_size=5).map("".join)


@pytest.mark.parametrize(
    ("opening", "mask", "server"),
    [("10.0.0.1 80", "1", "10.0.0.2"), ("fd00::1 80", "255.0.0.0", "fd00::2")],
)
def test_a_netmask_of_another_family_is_not_taken(opening: str, mask: str, server: str) -> None:
    text = conf(f"persistence_granularity {mask}", opening=opening).replace("10.0.0.2", server)
    assert "netmask" not in imported(text).toml
    assert verdict(text, "persistence_granularity") is Verdict.DIFFERS


@PATIENT
@given(statements(SERVICE), statements(SERVER), KINDS, statements(CHECKER), st.booleans())
def test_whatever_is_written_can_be_loaded(
    service: str, server: str, kind: str, checker: str, marked: bool
) -> None:
    inside = f"url {{\n{checker}}}\n" if kind == "HTTP_GET" else checker
    opening = "fwmark 3" if marked else "10.0.0.1 80"
    text = conf(service, f"{server}\n{kind} {{\n{inside}}}", opening)
    try:
        made = imported(text)
    except ConfigError as error:
        refused = str(error)
    else:
        refused = ""
    assert "as TOML it would not load" not in refused, text
    if refused:
        return
    load_text(
        made.toml,
        path="a.toml",
        resolver=resolver,
        service_ports=service_ports,
        host_name="d",
        rules_later=True,
    )
