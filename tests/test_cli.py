"""The commands as a user meets them: what they print, where, and with which status they end."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from test_api import CONNECTIONS, SERVICES, STATS, FakeDirector, while_serving

import dr_forwarder
from dr_forwarder import early_signals, state_dir
from dr_forwarder.cli import (
    bench,
    check,
    drain,
    import_,
    lab,
    main,
    replay,
    run,
    takeover,
    top,
    trace,
)
from dr_forwarder.cli import list as list_
from dr_forwarder.ipvsadm import connections, listing

TUTORIAL = Path(__file__).parent / "data" / "tutorial.cf"
LIMIT_S = 60

VIRTUAL = "virtual=10.9.0.100:80\n"
NO_SERVERS = VIRTUAL + "    scheduler=wrr\n"
BROKEN = VIRTUAL + "    real=10.9.0.999:80 gate\n"
BROKEN_REASON = "'10.9.0.999' is no IPv4 address"


@dataclass(frozen=True)
class Ended:
    status: object
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The program, in this process."""

    def called(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["dr-forwarder", *map(str, arguments)])
        monkeypatch.setattr(early_signals, "hold", lambda: None)  # this process is pytest's
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Ended(ended.value.code, *capsys.readouterr())

    return called


def process(*arguments: object, before: tuple[str, ...] = (), **environment: str) -> Ended:
    """The program, in a process of its own."""
    ended = subprocess.run(
        [*before, sys.executable, "-m", "dr_forwarder", *map(str, arguments)],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(dr_forwarder.__file__).parents[1]),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def unread(*words: object, module: str = "dr_forwarder", **environment: str) -> Ended:
    """The program whose output nobody reads, kept back until it ends, as Python does for a pipe."""
    here, there = os.pipe()
    os.close(here)
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    try:
        ended = subprocess.run(
            [sys.executable, "-m", module, *map(str, words)],
            env={**kept, **environment},
            stdout=there,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
    finally:
        os.close(there)
    return Ended(ended.returncode, "", ended.stderr)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """A configuration file with this text."""

    def write(text: str) -> Path:
        path = tmp_path / "ldirectord.cf"
        path.write_text(text)
        return path

    return write


Written = Callable[[str], Path]


def only_line(text: str) -> str:
    """The text, which is one line."""
    assert text.endswith("\n")
    assert text.count("\n") == 1
    return text.removesuffix("\n")


# ---- Help ----

COMMANDS: dict[tuple[str, ...], click.Command] = {
    ("run",): run.command,
    ("check",): check.command,
    ("import",): import_.command,
    ("list",): list_.command,
    ("top",): top.command,
    ("trace",): trace.command,
    ("replay",): replay.command,
    ("drain",): drain.command,
    ("disable",): drain.disable,
    ("enable",): drain.enable,
    ("takeover",): takeover.command,
    ("standby",): takeover.standby,
    ("bench",): bench.command,
    ("bench", "generate"): bench.command.commands["generate"],
    ("lab",): lab.command,
    **{("lab", name): each for name, each in lab.command.commands.items()},
}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("asked", ["-h", "--help"])
def test_help_names_every_option_and_argument(
    command: Command, words: tuple[str, ...], asked: str
) -> None:
    ended = command(*words, asked)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith(f"Usage: dr-forwarder {' '.join(words)} ")
    for parameter in COMMANDS[words].params:
        if isinstance(parameter, click.Option):
            assert all(each in ended.out for each in parameter.opts)
        else:
            metavar = parameter.metavar or (parameter.name or "").upper()
            assert metavar in ended.out or isinstance(parameter.type, click.Choice)


@pytest.mark.parametrize("asked", ["-h", "--help"])
def test_the_programs_help_names_every_command(command: Command, asked: str) -> None:
    ended = command(asked)
    assert (ended.status, ended.err) == (0, "")
    listed = [line.split()[0] for line in ended.out.partition("Commands:\n")[2].splitlines()]
    assert listed == [words[0] for words in COMMANDS if len(words) == 1]


def test_the_labs_help_names_every_one_of_its_commands(command: Command) -> None:
    listed = command("lab", "-h").out.partition("Commands:\n")[2]
    for name in lab.command.commands:
        assert f"\n  {name} " in f"\n{listed}"


def test_the_version_is_the_packages(command: Command) -> None:
    try:
        version = importlib.metadata.version("dr-forwarder")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package is not installed")
    assert command("--version") == Ended(0, f"dr-forwarder, version {version}\n", "")


# ---- Usage ----

MISUSED = [
    pytest.param(["nosuch"], "No such command 'nosuch'.", id="unknown command"),
    pytest.param(["lab", "nosuch"], "No such command 'nosuch'.", id="unknown lab command"),
    pytest.param(["--nosuch"], "No such option", id="unknown option"),
    pytest.param(["check"], "Missing argument 'CONFIG'.", id="check what?"),
    pytest.param(["run"], "--interface NAME", id="run what?"),
    pytest.param(["run", "x", "--listen", "here"], "must be ADDRESS:PORT", id="no address"),
    pytest.param(["run", "x", "--vlan", "4095"], "in 1..4094, not 4095", id="no such VLAN"),
    pytest.param(["run", "x", "--mac", "y"], "'auto', 'virtual', 'nic'", id="unknown mac mode"),
    pytest.param(["check", "/"], "File '/' is a directory.", id="a directory"),
    pytest.param(["list", "x"], "unexpected extra argument", id="list takes no argument"),
    pytest.param(["list", "-c", "--timeout"], "choose one of", id="two things at once"),
    pytest.param(["list", "--proc", "ip_vs", "--json"], "without the others", id="proc as JSON"),
    pytest.param(["lab", "up", "--servers", "0"], "0 is not in the range", id="no servers"),
    pytest.param(["lab", "break", "nosuch"], "'nosuch' is not one of", id="unknown mistake"),
]


@pytest.mark.parametrize(("arguments", "reason"), MISUSED)
def test_misuse_ends_with_status_2(command: Command, arguments: list[str], reason: str) -> None:
    ended = command(*arguments)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("Usage: dr-forwarder ")
    assert reason in ended.err.splitlines()[-1]


# ---- check ----


def test_check_explains_the_tutorial(command: Command) -> None:
    assert command("check", TUTORIAL) == Ended(
        0,
        "tcp 10.10.10.60:80: wrr, checked every 5 s: http /test.html must contain 'foo'\n"
        "  -> 10.10.10.62 weight 1\n"
        "  -> 10.10.10.63 weight 1\n"
        "     a real server that fails once is taken out\n"
        f"{TUTORIAL}: fine\n",
        "",
    )


def test_check_explains_persistence_fallback_and_what_a_failure_does(
    command: Command, written: Written
) -> None:
    config = written(
        "virtual=10.9.0.100:443\n"
        "    real=10.9.0.11:8443 gate 2\n"
        "    real=10.9.0.12:443 gate\n"
        "    fallback=10.9.0.19:443 gate\n"
        "    scheduler=wlc\n"
        "    persistent=300\n"
        "    checktype=connect\n"
        "    quiescent=yes\n"
        "    failurecount=3\n"
    )
    assert command("check", config) == Ended(
        0,
        "tcp 10.9.0.100:443: wlc, persistent 300 s, checked every 10 s: connect\n"
        "  -> 10.9.0.11 weight 2 (checked on port 8443)\n"
        "  -> 10.9.0.12 weight 1\n"
        "  -> 10.9.0.19 while no real server is up\n"
        "     a real server that fails 3 times in a row keeps its connections (weight 0)\n"
        f"{config}: fine\n",
        "",
    )


def test_check_names_the_port_that_is_checked(command: Command, written: Written) -> None:
    config = written(VIRTUAL + "    real=10.9.0.11:80 gate\n    checkport=8080\n")
    assert "  -> 10.9.0.11 weight 1 (checked on port 8080)\n" in command("check", config).out


def test_check_survives_a_file_in_another_encoding(tmp_path: Path) -> None:
    config = tmp_path / "ldirectord.cf"
    config.write_bytes(
        b"virtual=10.9.0.100:80\n"
        b"    real=10.9.0.11:80 gate\n"
        b"    service=http\n"
        b'    request="caf\xe9.html"\n'
    )
    ended = process("check", config, PYTHONIOENCODING="utf-8:strict")
    assert ended.status == 0


BROKEN_FILES = [
    pytest.param(BROKEN, 2, BROKEN_REASON, id="an address"),
    pytest.param("checkinterval=soon\n", 1, "checkinterval", id="a number"),
    pytest.param(VIRTUAL + "    nosuch=1\n", 2, "nosuch", id="a directive"),
    pytest.param(VIRTUAL + "    real=10.9.0.11:80 masq\n", 2, "write gate", id="masquerading"),
]


@pytest.mark.parametrize(("text", "line", "reason"), BROKEN_FILES)
def test_check_names_file_and_line_of_what_is_wrong(
    command: Command, written: Written, text: str, line: int, reason: str
) -> None:
    config = written(text)
    ended = command("check", config)
    assert (ended.status, ended.out) == (2, "")
    assert only_line(ended.err).startswith(f"{config}:{line}: error: ")
    assert reason in ended.err


def test_check_of_a_file_that_is_not_there(command: Command, tmp_path: Path) -> None:
    reason = "cannot be read: No such file or directory"
    assert command("check", tmp_path / "x.cf") == Ended(
        2, "", f"{tmp_path}/x.cf: error: {reason}\n"
    )


INDENTED_BY_2 = VIRTUAL + "  real=10.9.0.11:80 gate\n"


def test_what_ldirectord_would_refuse_is_only_warned_of(command: Command, written: Written) -> None:
    config = written(INDENTED_BY_2)
    ended = command("check", config)
    assert (ended.status, ended.out.splitlines()[-1]) == (0, f"{config}: fine")
    assert ended.err == f"{config}:2: warning: ldirectord wants 4 columns of indent\n"


@pytest.mark.parametrize("also", [[], ["--json"]], ids=["text", "json"])
def test_strict_refuses_it(command: Command, written: Written, also: list[str]) -> None:
    config = written(INDENTED_BY_2)
    reason = "ldirectord wants 4 columns of indent"
    assert command("check", "--strict", config, *also) == Ended(
        2, "", f"{config}:2: error: {reason}\n"
    )


def test_strict_does_not_refuse_what_ldirectord_takes(command: Command) -> None:
    ended = command("check", "--strict", TUTORIAL)
    assert ended == command("check", TUTORIAL)


def test_what_is_not_direct_routing_can_be_left_out(command: Command, written: Written) -> None:
    config = written(VIRTUAL + "    real=10.9.0.11:80 masq\n    real=10.9.0.12:80 gate\n")
    ended = command("check", "--skip-unsupported", config)
    assert ended.status == 0
    assert "10.9.0.11" not in ended.out
    assert only_line(ended.err).startswith(f"{config}:2: warning: 10.9.0.11:80 is left out")


def test_check_can_print_json() -> None:
    ended = process("check", "--json", TUTORIAL)
    assert ended.status == 0
    virtual = json.loads(ended.out)["virtuals"][0]
    assert (virtual["server"], virtual["port"]) == ("10.10.10.60", 80)
    assert [each["server"] for each in virtual["real"]] == ["10.10.10.62", "10.10.10.63"]
    assert virtual["checktype"] == "negotiate"


# ---- run ----


def test_run_of_a_broken_file_starts_nothing(tmp_path: Path, written: Written) -> None:
    config = written(BROKEN)
    ended = process("run", config, "--state-dir", tmp_path / "state")
    assert (ended.status, ended.out) == (2, "")
    assert only_line(ended.err).startswith(f"{config}:2: error: {BROKEN_REASON}")
    assert not (tmp_path / "state").exists()


def test_run_names_the_interfaces_there_are(tmp_path: Path, written: Written) -> None:
    options = ("-i", "nosuch0", "--interface-wait", "0")
    ended = process("run", written(NO_SERVERS), *options, "--state-dir", tmp_path)
    assert (ended.status, ended.out) == (75, "")
    line = only_line(ended.err)
    assert line.startswith("there is no interface 'nosuch0'; there are: ")
    assert "lo" in line.partition("there are: ")[2].split(", ")


def test_run_in_a_vlan_needs_the_interface(tmp_path: Path, written: Written) -> None:
    ended = process("run", written(NO_SERVERS), "--vlan", "200.100", "--state-dir", tmp_path)
    assert (ended.status, ended.out) == (1, "")
    assert only_line(ended.err) == (
        "dr-forwarder: vlan = 200.100 needs the interface whose frames have the tag:"
        " --interface NAME"
    )


def test_run_without_the_privilege_says_how_to_get_it(tmp_path: Path, written: Written) -> None:
    ended = process(
        *("run", written(NO_SERVERS), "-i", an_interface(), "--state-dir", tmp_path),
        before=without_net_raw(),
    )
    assert (ended.status, ended.out) == (1, "")
    line = only_line(ended.err)
    assert line.startswith("dr-forwarder: cannot open packet sockets: CAP_NET_RAW is missing; ")
    for cure in (
        "run as root",
        "--cap-add NET_RAW",
        "AmbientCapabilities=",
        "--ambient-caps=+net_raw",
    ):
        assert cure in line


def test_run_refuses_the_loopback_interface(tmp_path: Path, written: Written) -> None:
    ended = process("run", written(NO_SERVERS), "-i", "lo", "--state-dir", tmp_path)
    assert (ended.status, ended.out) == (1, "")
    assert only_line(ended.err) == (
        "dr-forwarder: interface lo is the host's own loopback, where no client is:"
        " --interface NAME"
    )


def an_interface() -> str:
    """One that is up and not the loopback."""
    for name in sorted(os.listdir("/sys/class/net")):
        flags = Path(f"/sys/class/net/{name}/flags")
        if name != "lo" and flags.exists() and int(flags.read_text(), 16) & 1:
            return name
    pytest.skip("there is no interface but the loopback here")


def without_net_raw() -> tuple[str, ...]:
    """What to write before a command so that it may not open packet sockets."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except PermissionError:
        return ()
    prefix = ("setpriv", "--bounding-set", "-net_raw")
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is missing")
    if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode:
        pytest.skip("setpriv may not drop capabilities")
    return prefix


def test_run_of_a_second_director_names_the_first(tmp_path: Path, written: Written) -> None:
    with state_dir.held(tmp_path):
        ended = process("run", written(NO_SERVERS), "-i", "lo", "--state-dir", tmp_path)
    assert (ended.status, ended.out) == (1, "")
    assert only_line(ended.err).startswith(
        f"dr-forwarder: a director is running already in {tmp_path} (pid {os.getpid()}); stop it"
    )


def test_run_says_so_when_the_state_directory_has_too_long_a_name(
    tmp_path: Path, written: Written
) -> None:
    where = tmp_path / ("x" * 110)
    ended = process("run", written(NO_SERVERS), "-i", "nosuch0", "--state-dir", where)
    assert ended.status == 1
    assert "--state-dir" in only_line(ended.err)


# ---- list ----


def test_list_without_a_director_is_one_line(command: Command, tmp_path: Path) -> None:
    ended = command("list", "--state-dir", tmp_path)
    assert (ended.status, ended.out) == (1, "")
    assert only_line(ended.err).startswith(f"dr-forwarder: no director is running in {tmp_path} ")


VERDICTS = (
    "           9 forwarded\n           1 not a VIP\n"
    "           6 by worker 0: 5 forwarded, 3 more without room, woken 1 times\n"
    "           4 by worker 1: 4 forwarded, 0 more without room, woken 2 times\n"
)
DAEMONS = (
    "master sync daemon (mcast=eth0, syncid=5, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)\n"
    "backup sync daemon (mcast=eth1, syncid=0, maxlen=1452, group=ff02::81, port=8848, ttl=3)\n"
)
HEALTH = (
    "10.9.0.100:80 -> 10.9.0.11:8080 unknown: not checked yet\n"
    "10.9.0.100:80 -> 10.9.0.12:80 up: HTTP 200 OK\n"
)
VIEWS = listing.View
LISTS = [
    pytest.param(["-n"], listing.table(SERVICES), id="the table"),
    pytest.param(["-n", "--stats"], listing.table(SERVICES, view=VIEWS.STATS), id="stats"),
    pytest.param(
        ["-n", "--stats", "--exact"],
        listing.table(SERVICES, view=VIEWS.STATS, exact=True),
        id="exact stats",
    ),
    pytest.param(
        ["-n", "--thresholds"], listing.table(SERVICES, view=VIEWS.THRESHOLDS), id="thresholds"
    ),
    pytest.param(
        ["-n", "--persistent-conn"], listing.table(SERVICES, view=VIEWS.PERSISTENT), id="templates"
    ),
    pytest.param(["-n", "-c"], connections.connections(CONNECTIONS), id="connections"),
    pytest.param(["-nc"], connections.connections(CONNECTIONS), id="connections, as ipvsadm -Lnc"),
    pytest.param(["--timeout"], "Timeout (tcp tcpfin udp): 900 120 300\n", id="timeouts"),
    pytest.param(["--daemon"], DAEMONS, id="daemons"),
    pytest.param(["--health"], HEALTH, id="health"),
    pytest.param(["--verdicts"], VERDICTS, id="verdicts"),
]


@pytest.mark.parametrize(("arguments", "expected"), LISTS)
def test_list(command: Command, tmp_path: Path, arguments: list[str], expected: str) -> None:
    ended = while_serving(tmp_path, lambda: command("list", "--state-dir", tmp_path, *arguments))
    assert ended == Ended(0, expected, "")


JSON = [
    pytest.param([], lambda answer: answer[0]["service"]["key"]["port"], 80, id="the table"),
    pytest.param(["-c"], lambda answer: answer[0]["state"], "ESTABLISHED", id="connections"),
    pytest.param(["--timeout"], lambda answer: answer["tcp_fin_s"], 120, id="timeouts"),
    pytest.param(["--daemon"], lambda answer: answer[0]["role"], "master", id="daemons"),
    pytest.param(["--health"], lambda answer: answer[1]["reason"], "HTTP 200 OK", id="health"),
    pytest.param(["--verdicts"], lambda answer: answer["verdicts"], STATS.verdicts, id="verdicts"),
]


@pytest.mark.parametrize(("arguments", "look", "expected"), JSON)
def test_list_as_json(
    command: Command,
    tmp_path: Path,
    arguments: list[str],
    look: Callable[[object], object],
    expected: object,
) -> None:
    ended = while_serving(
        tmp_path, lambda: command("list", "--json", "--state-dir", tmp_path, *arguments)
    )
    assert (ended.status, ended.err) == (0, "")
    assert look(json.loads(ended.out)) == expected


@pytest.mark.parametrize("count", [0, 1, 2])
def test_connections_as_json_are_one_list_with_one_a_line(
    command: Command, tmp_path: Path, count: int
) -> None:
    director = FakeDirector()
    director.each_connection = lambda: iter(CONNECTIONS[:count])  # type: ignore[method-assign]
    asked = ("list", "-c", "--json", "--state-dir", tmp_path)
    ended = while_serving(tmp_path, lambda: command(*asked), director)
    assert (ended.status, ended.err) == (0, "")
    assert len(json.loads(ended.out)) == count
    assert len(ended.out.splitlines()) == (count + 2 if count else 1)


def test_list_writes_the_names_it_can_find(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def host(address: str) -> tuple[str, list[str], list[str]]:
        if address == "10.9.0.100":
            return "vip.test", [], []
        raise socket.herror(1, "Unknown host")

    def port(number: int, protocol: str) -> str:
        if (number, protocol) in ((80, "tcp"), (53, "udp")):
            return {80: "http", 53: "domain"}[number]
        raise OSError("port/proto not found")

    monkeypatch.setattr(socket, "gethostbyaddr", host)
    monkeypatch.setattr(socket, "getservbyport", port)
    ended = while_serving(tmp_path, lambda: command("list", "--state-dir", tmp_path))
    assert [line.split()[1] for line in ended.out.splitlines()[3:] if line[0] != " "] == [
        "vip.test:http",
        "[2001:db8::1]:domain",
    ]
    assert "  -> 10.9.0.11:http  " in ended.out


# ---- Nobody reads ----


@pytest.mark.parametrize(
    ("module", "words", "status"),
    [
        ("dr_forwarder", ["--help"], 1),
        ("dr_forwarder", ["check", TUTORIAL], 1),
        ("dr_forwarder.ldirectord", ["--help"], 0),
        ("dr_forwarder.ldirectord", ["--version"], 0),
    ],
)
def test_output_that_nobody_reads_is_dropped_in_silence(
    module: str, words: list[object], status: int
) -> None:
    ended = unread(*words, module=module)
    assert (ended.status, ended.err) == (status, "")
