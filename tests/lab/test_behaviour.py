"""What happens around the table when servers die and return: as ldirectord's users know it."""

from __future__ import annotations

from pathlib import Path

from running import CONFIG, Running, running, wait_until

from dr_forwarder.lab import Lab

SECOND = """\
checktimeout=1
checkinterval=1
autoreload=yes
logfile="{directory}/ldirectord.log"
maintenancedir={directory}/maintenance
quiescent=yes
fallbackcommand={directory}/fallback
callback="{directory}/callback"
virtual=10.10.10.60:80
        real=10.10.10.62:80 gate
        real=10.10.10.63:80 gate
        fallback=10.10.10.64:80 gate
        service=http
        request="test.html"
        receive="foo"
        scheduler=wlc
        protocol=tcp
        monitorfile="{directory}/monitor"
"""
"""The tutorial's second configuration, and everything beside the table that a file can ask for."""


def write_script(path: Path, told: Path) -> None:
    path.write_text(f'#!/bin/sh\necho "$(basename $0) $*" >> {told}\n')
    path.chmod(0o755)


def test_a_server_dies_and_returns_in_the_tutorials_second_configuration(
    own_lab: Lab, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    told.touch()
    for name in ("fallback", "callback"):
        write_script(tmp_path / name, told)
    (tmp_path / "maintenance").mkdir()
    text = SECOND.format(directory=tmp_path)
    with running(own_lab, tmp_path, text, servers=2) as director:

        def weights(expected: dict[str, int], why: str) -> None:
            wait_until(lambda: director.weights() == expected, why)

        assert sorted(own_lab.requests(2)) == ["This is VM2\n", "This is VM3\n"]
        own_lab.stop_web("vm2")
        weights({".62": 0, ".63": 1}, "vm2 is quiescent")
        assert own_lab.requests(2) == ["This is VM3\n"] * 2
        own_lab.stop_web("vm3")
        weights({".62": 0, ".63": 0, ".64": 1}, "the fallback is in, and not quiescent")
        own_lab.start_web("vm3")
        weights({".62": 0, ".63": 1}, "vm3 is back, the fallback is out")
        wait_until(lambda: len(told.read_text().splitlines()) == 2, "fallbackcommand ran")
        assert told.read_text().splitlines() == [
            "fallback start 10.10.10.60:80 tcp",
            "fallback stop 10.10.10.60:80 tcp",
        ]
        own_lab.start_web("vm2")
        weights({".62": 1, ".63": 1}, "vm2 is back")

        (tmp_path / "maintenance" / "10.10.10.62:80").touch()
        weights({".62": 0, ".63": 1}, "vm2 is in maintenance")
        (tmp_path / "maintenance" / "10.10.10.62:80").unlink()
        weights({".62": 1, ".63": 1}, "vm2 is out of maintenance")

        director.config.write_text(text.replace("10.10.10.62:80 gate", "10.10.10.62:80 gate 3"))
        weights({".62": 3, ".63": 1}, "the file was read again by itself")
        wait_until(lambda: "callback" in told.read_text(), "the callback ran")
        assert told.read_text().splitlines()[2] == f"callback {director.config}"
        director.config.write_text("nonsense\n")
        wait_until(lambda: "Not reloaded" in director.log, "the broken file was reported")
        assert director.weights() == {".62": 3, ".63": 1}
        # ldirectord would be blind from here on, and quiescent no more.
        own_lab.stop_web("vm3")
        weights({".62": 3, ".63": 0}, "vm3 is quiescent after a failed reload too")
        own_lab.start_web("vm3")
        weights({".62": 3, ".63": 1}, "vm3 is back")

    assert_it_was_written_down(tmp_path, director)


def assert_it_was_written_down(directory: Path, director: Running) -> None:
    monitored = (directory / "monitor").read_text()
    assert "negotiate http tcp 10.10.10.62 80 1 gate /test.html foo [up] HTTP 200 OK" in monitored
    assert "[down] connection refused" in monitored
    assert "[down] Server in maintenance" in monitored
    logged = (directory / "ldirectord.log").read_text()
    assert f"|ldirectord.cf|{director.process and director.process.pid}] " in logged
    for line in (
        "Added virtual server: 10.10.10.60:80",
        "Quiescent real server: 10.10.10.62:80 (10.10.10.60:80) (Weight set to 0)",
        "Added fallback server: 10.10.10.64:80 (10.10.10.60:80) (Weight set to 1)",
        "Restored real server: 10.10.10.63:80 (10.10.10.60:80) (Weight set to 1)",
        "Deleted fallback server: 10.10.10.64:80 (10.10.10.60:80)",
        "Purged real server (stop): 10.10.10.62:80 (10.10.10.60:80)",
        "Purged virtual server (stop): 10.10.10.60:80",
    ):
        assert f"] {line}\n" in logged


def test_with_cleanstop_no_the_next_start_goes_on_with_the_table(
    own_lab: Lab, tmp_path: Path
) -> None:
    """A server that was at weight 0 is never given its full weight before its check passes."""
    text = "cleanstop=no\nquiescent=yes\n" + CONFIG
    with running(own_lab, tmp_path, text, servers=2) as director:
        own_lab.stop_web("vm2")
        wait_until(lambda: director.weights() == {".62": 0, ".63": 1}, "vm2 is quiescent")
        before = len(director.log)
        assert director.stop() == 0
        assert "Purged" not in director.log[before:]
        before = len(director.log)
        director.start(text)
        assert director.weights() == {".62": 0, ".63": 1}
        assert own_lab.requests(2) == ["This is VM3\n"] * 2
        own_lab.start_web("vm2")
        wait_until(lambda: director.weights() == {".62": 1, ".63": 1}, "vm2 is back")
        director.expect("Restored real server: 10.10.10.62:80")
        logged = director.log[before:]
    # Once, when its check passed; nothing was put in and taken out again.
    steps = [line for line in logged.splitlines() if "real server: 10.10.10.62:80" in line]
    assert [line.rpartition("INFO")[2].split()[0] for line in steps] == ["Restored"]
    assert "real server: 10.10.10.63:80" not in logged
