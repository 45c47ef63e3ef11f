"""The demonstration: the tutorial's cluster with real processes and frames, each claim checked.

Nothing here knows how the director works: it is started as a user starts it, and judged by what
the client, the real servers and the kernel say.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from ..client import Client
from ..errors import NotRunning
from ..lab import Lab, LabError, LabUnavailable, Topology, draw
from ..table import ServiceRow

_UPLOAD_BYTES = 200 * 1000 * 1000
_CHECK_INTERVAL_S = 5
"""The tutorial's checkinterval."""
_QUIET = ("TcpOutRsts", "IpForwDatagrams", "IcmpOutMsgs")


def demo() -> int:
    """Returns the exit status: 0 only if everything held."""
    try:
        with (
            tempfile.TemporaryDirectory(prefix="dr-forwarder-demo-") as directory,
            _terminable(),
            Lab() as lab,
        ):
            return _Demo(lab, Path(directory)).show()
    except LabUnavailable as error:
        print(f"dr-forwarder: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; everything is cleaned up.", file=sys.stderr)
        return 130


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does, with everything cleaned up."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def tutorial(topology: Topology) -> str:
    """The tutorial's file; with a line for each server where the lab has others."""
    text = resources.files("dr_forwarder.lab").joinpath("tutorial.cf").read_text("utf-8")
    if len(topology.servers) == 2:
        return text
    reals = [f"        real={server.address}:80 gate\n" for server in topology.servers]
    lines = text.splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if "real=" in line)
    kept = [line for line in lines if "real=" not in line]
    return "".join([*kept[:first], *reals, *kept[first:]])


class _Demo:
    def __init__(self, lab: Lab, directory: Path) -> None:
        self._lab = lab
        self._state_dir = directory
        self._cf = directory / "ldirectord.cf"
        self._log = directory / "log"
        self._log_seen = 0
        self._client = Client(directory)
        self._text = tutorial(lab.topology)
        self._failed: list[str] = []

    def show(self) -> int:
        began_s = time.monotonic()
        print(draw(self._lab.topology), end="\n\n")
        print("The director gets the tutorial's ldirectord.cf as it was printed there:\n")
        self._cf.write_text(self._text)
        print("".join(f"    {line}\n" for line in self._text.splitlines()))
        before = self._lab.counters("director")
        with self._director() as director:
            self._table()
            self._alternate()
            self._weights(director)
            self._fail_over()
            self._upload()
            self._kernel(before)
            self._books()
        self._ended(director)
        return self._verdict(time.monotonic() - began_s)

    # ---- The director, as a user starts it ----

    @contextmanager
    def _director(self) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-m", "dr_forwarder", "run", str(self._cf)]
        with self._log.open("w") as log:
            director = self._lab.popen(
                "director", [*command, "--state-dir", str(self._state_dir)], stderr=log
            )
        try:
            self._claim(
                "the director is running, both servers passed their first check",
                _within(10, lambda: len(self._addresses()) == 2),
            )
            yield director
        finally:
            director.send_signal(signal.SIGTERM)
            director.wait(10)

    def _services(self) -> tuple[ServiceRow, ...]:
        try:
            return self._client.services()
        except NotRunning:
            return ()

    def _addresses(self) -> list[str]:
        return [str(s.server.address) for row in self._services() for s in row.servers]

    # ---- What it is shown to do ----

    def _table(self) -> None:
        self._chapter("The table, as ipvsadm prints it: dr-forwarder list -n")
        command = [sys.executable, "-m", "dr_forwarder", "list", "-n"]
        shown = subprocess.run(
            [*command, "--state-dir", str(self._state_dir)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        print("".join(f"    {line}\n" for line in shown.splitlines()), end="")
        self._claim("both real servers are in it", shown.count("Route   1") == 2)

    def _alternate(self) -> None:
        self._chapter("Six requests to the VIP")
        answers = self._ask(6)
        self._claim("they alternate: VM3, VM2, ...", answers == ["This is VM3", "This is VM2"] * 3)

    def _weights(self, director: subprocess.Popen[str]) -> None:
        self._chapter("Weight 3 for VM2, reloaded with SIGHUP")
        self._cf.write_text(self._text.replace("10.10.10.62:80 gate", "10.10.10.62:80 gate 3"))
        director.send_signal(signal.SIGHUP)
        self._claim("the reload is in the table", _within(5, lambda: 3 in self._weights_now()))
        answers = self._ask(8)
        self._claim("wrr gives VM2 three of four", answers.count("This is VM2") == 6)
        self._cf.write_text(self._text)
        director.send_signal(signal.SIGHUP)
        self._claim("and back again", _within(5, lambda: self._weights_now() == [1, 1]))

    def _weights_now(self) -> list[int]:
        return [s.server.weight for row in self._services() for s in row.servers]

    def _fail_over(self) -> None:
        limit_s = 2 * _CHECK_INTERVAL_S
        self._chapter("The web server of vm2 stops")
        self._lab.stop_web("vm2")
        began_s = time.monotonic()
        out = _within(limit_s, lambda: self._addresses() == ["10.10.10.63"])
        took_s = time.monotonic() - began_s
        self._claim(f"out of the table within two check intervals ({took_s:.1f} s)", out)
        answers = self._ask(6)
        self._claim("all requests go to VM3, none fails", answers == ["This is VM3"] * 6)
        self._chapter("It starts again")
        self._lab.start_web("vm2")
        back = _within(limit_s, lambda: len(self._addresses()) == 2)
        self._claim("back in the table within two check intervals", back)
        answers = self._ask(4)
        self._claim("and is asked again", answers.count("This is VM2") == 2)

    def _upload(self) -> None:
        self._chapter("An upload of 200 MB through the director, all offloads on")
        began_s = time.monotonic()
        try:
            self._lab.upload(_UPLOAD_BYTES)
        except (LabError, OSError) as error:
            self._claim(f"byte-exact ({error})", False)
            return
        seconds = time.monotonic() - began_s
        self._claim(f"byte-exact, in {seconds:.1f} s", True)

    def _kernel(self, before: dict[str, int]) -> None:
        self._chapter("What the director's kernel did meanwhile")
        after = self._lab.counters("director")
        for name in _QUIET:
            moved = after[name] - before[name]
            self._claim(f"{name} +{moved}", moved == 0)

    def _books(self) -> None:
        self._chapter("The books: dr-forwarder list --verdicts")
        stats = self._client.stats()
        for name, count in stats.verdicts.items():
            if count:
                print(f"    {count:>8} {name}")
        total = sum(stats.verdicts.values())
        self._claim(f"{stats.frames} frames in = {total} verdicts", stats.frames == total)
        self._claim(f"{stats.ring_dropped} lost by the kernel", stats.ring_dropped == 0)

    def _ended(self, director: subprocess.Popen[str]) -> None:
        self._chapter("SIGTERM")
        self._show_log()
        self._claim("the director left cleanly", director.returncode == 0)

    def _verdict(self, seconds: float) -> int:
        print()
        if self._failed:
            print(f"FAILED after {seconds:.0f} s: {'; '.join(self._failed)}")
            return 1
        print(f"All of that held, in {seconds:.0f} s. Read on in README.md.")
        return 0

    # ---- Telling ----

    def _chapter(self, title: str) -> None:
        self._show_log()
        print(f"\n== {title}", flush=True)

    def _show_log(self) -> None:
        text = self._log.read_text("utf-8", errors="backslashreplace")
        for line in text[self._log_seen :].splitlines():
            print(f"    | {line}")
        self._log_seen = len(text)

    def _ask(self, count: int) -> list[str]:
        answers = []
        for _ in range(count):
            try:
                answer = self._lab.get().strip()
            except (LabError, OSError) as error:
                answer = f"failed: {error}"
            print(f"    $ curl http://{self._lab.topology.vip}/\n    {answer}", flush=True)
            answers.append(answer)
        return answers

    def _claim(self, text: str, held: bool) -> None:
        print(f"  {'ok    ' if held else 'FAILED'} {text}", flush=True)
        if not held:
            self._failed.append(text)


def _within(limit_s: float, condition: Callable[[], bool]) -> bool:
    """Looks until the condition holds; False when it does not in time."""
    end_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.05)
    return True
