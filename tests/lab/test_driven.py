"""dr-ipvsadm in the place of ipvsadm: by hand, and under Debian's own ldirectord."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from running import CONFIG, LIMIT_S, running, wait_until

from dr_forwarder.lab import Lab

LDIRECTORD = shutil.which("ldirectord", path="/usr/sbin:/sbin:/usr/bin")
PLACES = ("/sbin/ipvsadm", "/usr/sbin/ipvsadm")
LATE_S = 60.0
PROGRAM = "from dr_forwarder.ipvsadm.shell import main; main()"


def shell(lab: Lab, state_dir: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DR_FORWARDER_STATE_DIR": str(state_dir)}
    started = lab.popen(
        "director",
        [sys.executable, "-c", PROGRAM, *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, error = started.communicate(timeout=LIMIT_S)
    return subprocess.CompletedProcess(words, started.returncode, out, error)


def answers(lab: Lab, count: int) -> set[str]:
    return {answer.strip() for answer in lab.requests(count)}


def test_commands_make_a_cluster_and_take_it_apart(own_lab: Lab, tmp_path: Path) -> None:
    with running(own_lab, tmp_path, None, "--interface", "eth0") as director:

        def ipvsadm(line: str) -> str:
            done = shell(own_lab, director.state_dir, *line.split())
            assert (done.returncode, done.stderr) == (0, ""), line
            return done.stdout

        ipvsadm("-A -t 10.10.10.60:80 -s wrr")
        ipvsadm("-a -t 10.10.10.60:80 -r 10.10.10.62:80 -g -w 1")
        ipvsadm("-a -t 10.10.10.60:80 -r 10.10.10.63:80 -g -w 1")
        wait_until(lambda: all(row.mac for row in director.servers()), "MAC addresses are known")
        assert answers(own_lab, 4) == {"This is VM2", "This is VM3"}
        ipvsadm("-e -t 10.10.10.60:80 -r 10.10.10.63:80 -g -w 0")
        assert answers(own_lab, 4) == {"This is VM2"}
        saved = ipvsadm("-Sn")
        ipvsadm("-C")
        assert ipvsadm("-Sn") == ""
        assert saved.splitlines() == [
            "-A -t 10.10.10.60:80 -s wrr",
            "-a -t 10.10.10.60:80 -r 10.10.10.62:80 -g -w 1",
            "-a -t 10.10.10.60:80 -r 10.10.10.63:80 -g -w 0",
        ]


# ---- ldirectord ----

FALLBACK = ("10.10.10.10", 1)


def put_in_place(directory: Path) -> tuple[str, ...]:
    """What starts a program that finds our command where ldirectord looks for ipvsadm.

    Only that program does: the places are bound over in a mount namespace of its own.
    """
    program = directory / "ipvsadm"
    program.write_text(f"#!{sys.executable}\n{PROGRAM}\n")
    program.chmod(0o755)
    places = [place for place in PLACES if Path(place).exists()]
    if not places:
        pytest.skip("there is no /sbin/ipvsadm to put ours over; Debian: ipvsadm")
    binds = "; ".join(f"mount --bind {program} {place}" for place in places)
    return "unshare", "--mount", "sh", "-c", f'{binds}; exec "$@"', "sh"


@pytest.mark.skipif(LDIRECTORD is None, reason="ldirectord is not installed; Debian: ldirectord")
@pytest.mark.parametrize(
    ("quiescent", "vm2_down", "both_down"),
    [
        ("no", [("10.10.10.63", 1)], [FALLBACK]),
        (
            "yes",
            [("10.10.10.62", 0), ("10.10.10.63", 1)],
            [FALLBACK, ("10.10.10.62", 0), ("10.10.10.63", 0)],
        ),
    ],
    ids=["removing", "quiescing"],
)
def test_the_real_ldirectord_drives_the_director(
    own_lab: Lab,
    tmp_path: Path,
    quiescent: str,
    vm2_down: list[tuple[str, int]],
    both_down: list[tuple[str, int]],
) -> None:
    both_up = [("10.10.10.62", 1), ("10.10.10.63", 1)]
    config = tmp_path / "driven.cf"
    # Its checks come one after the other, and a host with other work needs time for each.
    text = CONFIG.replace("checktimeout=3", "checktimeout=5")
    text += f"        quiescent={quiescent}\n        fallback=10.10.10.10:80 gate\n"
    config.write_text(text)
    with running(own_lab, tmp_path, None, "--interface", "eth0") as director:

        def become(servers: list[tuple[str, int]]) -> None:
            def now() -> list[tuple[str, int]]:
                return [(str(r.server.address), r.server.weight) for r in director.servers()]

            wait_until(lambda: now() == servers, f"{servers}", limit_s=LATE_S)

        with driving(own_lab, director.state_dir, config) as driver:
            become(both_up)
            wait_until(lambda: all(row.mac for row in director.servers()), "MACs are known")
            assert answers(own_lab, 4) == {"This is VM2", "This is VM3"}
            own_lab.stop_web("vm2")
            become(vm2_down)
            assert answers(own_lab, 4) == {"This is VM3"}
            own_lab.stop_web("vm3")
            become(both_down)
            for name in ("vm2", "vm3"):
                own_lab.start_web(name)
            become(both_up)
            wait_until(lambda: all(row.mac for row in director.servers()), "MACs are known")
            assert answers(own_lab, 4) == {"This is VM2", "This is VM3"}
            driver.send_signal(signal.SIGTERM)
            wait_until(lambda: not director.client.services(), "it cleans up", limit_s=LATE_S)


@contextmanager
def driving(lab: Lab, state_dir: Path, config: Path) -> Iterator[subprocess.Popen[str]]:
    """ldirectord in the foreground, with our command where it looks for ipvsadm."""
    with config.with_suffix(".log").open("w") as log:
        driver = lab.popen(
            "director",
            [*put_in_place(config.parent), str(LDIRECTORD), "-d", str(config), "start"],
            env={**os.environ, "DR_FORWARDER_STATE_DIR": str(state_dir)},
            stdout=log,
            stderr=log,
            cwd="/",
        )
    try:
        yield driver
    finally:
        driver.kill()
        driver.wait(LIMIT_S)
