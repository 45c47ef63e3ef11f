"""The hostile hour: everything at once against one director, in turns by chance.

    python tests/torture/hour.py --minutes 60

Floods, hostile servers and clients, changes, kills and a network that comes and goes, beside
connections that must not notice more than a pause, and newcomers who must get in. It ends with a
table in Markdown, and with status 0 if all of it held. The hour has two long lives of the director,
in which it is not killed, and kills between them: what a process holds is compared within a life.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "lab")]

import situation  # noqa: E402 - needs the path above
from cluster import Held as Holding  # noqa: E402
from cluster import serve  # noqa: E402
from disturbing import ENDING, GENTLE, PAUSING, Disturb, Disturbed, start  # noqa: E402
from floods import mac_of  # noqa: E402
from newcomers import Newcomers, Pauses, served  # noqa: E402
from pestering import KINDS as CLIENTS  # noqa: E402
from running import VIP4, VIP6, Running  # noqa: E402
from spraying import KINDS as FRAMES  # noqa: E402
from watching import Held, Watching, command_of, descendants, least, look  # noqa: E402

from dr_forwarder.lab import Lab, acquire_privileges  # noqa: E402
from dr_forwarder.lab.privilege import unshare  # noqa: E402

NICE = ("nice", "-n", "10")
HELD_EACH = 100
PERIOD_S = 0.2
FILL_S = 5.0
FILL_RATE = 20_000
PEACE_S = 2.0
CALMS_S = 100.0
"""What the looks at what the director holds take together."""
DISK = "size=8m,mode=0700"
_CLONE_NEWNS = 0x00020000

MOST_GROWTH = 0.02
MOST_GROWTH_SOON = 0.5
"""In less than half an hour, which has no time to warm up: the first of anything takes memory."""
SOON_MINUTES = 30
LEAST_SERVED = 0.99
MOST_THREADS = (os.cpu_count() or 1) + 4 + 4
"""Asyncio's executor, which starts its threads when they are needed, and the director's own."""
MOST_LOG_BYTES_A_MINUTE = 200_000
"""Half of it is about reloads, of which there are one or two a second."""


@dataclass
class Tally:
    """What was done, and what went wrong."""

    disturbances: Counter[str] = field(default_factory=Counter)
    longest_s: Counter[str] = field(default_factory=Counter)
    floods: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    clients: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    compared: list[tuple[Held, Held]] = field(default_factory=list)

    def took(self, what: str, seconds: float) -> None:
        self.disturbances[what] += 1
        self.longest_s[what] = max(self.longest_s[what], seconds)  # type: ignore[assignment]

    def fail(self, what: str) -> None:
        self.failures.append(what)
        print(f"FAILED: {what}", flush=True)


class Turns(threading.Thread):
    """Does one thing after the other while it is peace time for nobody."""

    def __init__(self, hour: Hour, name: str, do: Callable[[random.Random], None]) -> None:
        super().__init__(daemon=True, name=name)
        self._hour = hour
        self._chance = random.Random(f"{hour.seed} {name}")
        self._do = do

    def run(self) -> None:
        while not self._hour.over.is_set():
            if not self._hour.peace.is_set():
                self._do(self._chance)
            time.sleep(self._chance.uniform(0, 0.5))


class Hour:
    """The whole of it."""

    def __init__(self, lab: Lab, directory: Path, asked: argparse.Namespace) -> None:
        self.minutes, self.seed, self.rate = asked.minutes, asked.seed, asked.rate
        self.verbose = asked.verbose
        self.lab = lab
        self.chance = random.Random(self.seed)
        self.pauses = Pauses()
        self.tally = Tally()
        self.over, self.peace = threading.Event(), threading.Event()
        self.began_s = time.monotonic()
        options = ("--persist", "--listen", f":{situation.LISTEN_PORT}")
        director = Running(lab, directory, *options)
        director.config = directory / "director.toml"
        self.subject = Disturbed(lab, director, directory, (str(VIP4), str(VIP6)))
        self.watching = Watching(director.client, self.pauses.touch)
        self.mac = ""

    # ---- Its parts ----

    def run(self) -> bool:
        """True if all of it held."""
        busy_s = self.minutes * 60 - min(CALMS_S, self.minutes * 20)
        with ExitStack() as stack:
            self._begin(stack)
            try:
                self._live("first life", busy_s * 0.42)
                self._disturb_for("kills", busy_s * 0.16, ENDING)
                self._live("second life", busy_s * 0.42)
            finally:
                self.over.set()
            self._settle()
        return self.report()

    def _begin(self, stack: ExitStack) -> None:
        lab, director = self.lab, self.subject.director
        for name in ("vm2", "vm3"):
            serve(lab, name)
        plain, tls = situation.hostile_ports()
        argv = [*NICE, sys.executable, str(HERE / "pretending.py"), str(situation.HOSTILE_FROM)]
        hostile = lab.popen(
            "vm4", [*argv, str(plain), str(tls), str(self.seed)], stdout=subprocess.PIPE
        )
        assert hostile.stdout is not None
        assert hostile.stdout.readline() == "ready\n"
        stack.callback(director.stop)
        start(self.subject)
        self.subject.wait_until_served()
        self.mac = mac_of(lab, str(VIP4))
        self.held = [Holding(lab, str(vip), HELD_EACH, PERIOD_S) for vip in (VIP4, VIP6)]
        self.newcomers = Newcomers(lab)
        self.peace.set()
        threads = [
            *(Turns(self, f"floods {number}", self._flood) for number in range(2)),
            *(Turns(self, f"clients {number}", self._pester) for number in range(2)),
        ]
        for each in (self.newcomers, self.watching, *threads):
            each.start()
        self._progress = threading.Thread(target=self._tell, daemon=True)
        self._progress.start()

    def _live(self, name: str, seconds: float) -> None:
        """Everything is done once before what the process holds is looked at."""
        warm = max(seconds * 0.25, 10.0)
        self._disturb_for(f"{name}, warming up", warm, _IN_LIFE)
        before = self._calm()
        self._disturb_for(name, seconds - warm, _IN_LIFE)
        self.tally.compared.append((before, self._calm()))

    def _calm(self) -> Held:
        """What the director holds with nobody about, when its table has been filled once more.

        Nobody is checked but the good servers. The processes that checked the hostile one stay
        for the next time, more or fewer of them as it happened: they are killed.
        """
        self.peace.set()
        self._carefully(lambda: self.subject.reshape(situation.Shape(hostile=False)), "calm")
        self._carefully(lambda: self._spray("syn4", FILL_RATE, FILL_S, 1), "a full table")
        time.sleep(PEACE_S)
        process = self.subject.director.process
        assert process is not None
        for pid in [*descendants(process.pid)]:
            if "checks.worker" in command_of(pid):
                os.kill(pid, signal.SIGKILL)
        found = least(process.pid)
        left = [command_of(pid) for pid in descendants(process.pid)]
        print(f"calm: {found}, {self.watching.books.connections} connections, {left}", flush=True)
        self._carefully(lambda: self.subject.reshape(situation.Shape()), "after the calm")
        return found

    def _disturb_for(self, what: str, seconds: float, disturbances: Sequence[Disturb]) -> None:
        print(f"--- {what}: {seconds:.0f} s", flush=True)
        self.peace.clear()
        until_s = time.monotonic() + seconds
        left: list[Disturb] = []
        while time.monotonic() < until_s:
            if not left:  # each once before any comes again
                left = self.chance.sample(disturbances, len(disturbances))
            self._disturb(left.pop())
            time.sleep(self.chance.uniform(0.2, 2.0))

    def _disturb(self, disturb: Disturb) -> None:
        name = disturb.__name__
        began_s = time.monotonic()
        if self.verbose:
            print(f"{began_s - self.began_s:7.1f} {name} {self.subject.shape}", flush=True)
        with ExitStack() as stack:
            if disturb not in GENTLE:
                stack.enter_context(self.pauses.one())
            self._carefully(lambda: disturb(self.subject, self.chance), name)
            if disturb not in GENTLE:
                self._carefully(self.subject.wait_until_served, f"served after {name}")
        self.tally.took(name, time.monotonic() - began_s)

    def _carefully(self, do: Callable[[], object], what: str = "") -> None:
        """What fails is told, and the hour goes on, with another director if need be."""
        try:
            do()
        except Exception as error:  # whatever it is, it belongs into the table
            self.tally.fail(f"{what}: {error!r}"[:600])
            traceback.print_exc()
        if self.subject.director.ended:
            self.tally.fail(f"{what}: the director has ended: {self.subject.director.log[-2000:]}")
            with self.pauses.one():
                start(self.subject)

    # ---- What goes on beside ----

    def _flood(self, chance: random.Random) -> None:
        kind = chance.choice((*FRAMES, "syn4", "syn6", "arp", "nd"))
        self._spray(kind, self.rate, chance.uniform(1, 6), chance.randrange(1 << 30))

    def _spray(self, kind: str, rate: int, seconds: float, seed: int) -> None:
        argv = [*NICE, sys.executable, str(HERE / "spraying.py"), kind]
        argv += [self.lab.topology.director.port, str(rate), f"{seconds:.1f}", str(seed)]
        argv += [self.mac, str(VIP4), str(VIP6), str(situation.PORT)]
        told = self.lab.popen("switch", argv, stdout=subprocess.PIPE).communicate()[0]
        self.tally.floods[kind] += 1
        self.tally.frames += int(told)

    def _pester(self, chance: random.Random) -> None:
        kind = chance.choice(tuple(CLIENTS))
        to = chance.choice((f"unix:{self.subject.director.state_dir}/control", _LISTENING))
        argv = [*NICE, sys.executable, str(HERE / "pestering.py"), kind]
        # On the control socket they are root as we are: all its places would be theirs.
        most = chance.choice((1, 10, 50) if to.startswith("unix:") else (1, 10, 100, 300))
        argv += [str(most), f"{chance.uniform(1, 8):.1f}"]
        argv += [str(chance.randrange(1 << 30)), to]
        told = self.lab.popen("director", argv, stdout=subprocess.PIPE).communicate()[0]
        self.tally.clients[kind] += int(told)

    # ---- What is told ----

    def _tell(self) -> None:
        minute = 0
        while not self.over.wait(60):
            minute += 1
            print(f"minute {minute}: {self._figures()}", flush=True)

    def _figures(self) -> str:
        books, tally = self.watching.books, self.tally
        found = served(tuple(self.newcomers.calls), self.pauses)
        return (
            f"{sum(tally.disturbances.values())} disturbances, {tally.frames:,} hostile frames,"
            f" {sum(tally.clients.values()):,} hostile clients; {books.snapshots:,} snapshots"
            f" ({len(books.unbalanced)} unbalanced, {books.unanswered} unanswered,"
            f" slowest {books.slowest_s:.2f} s), {books.connections:,} connections; newcomers"
            f" {found.share:.2%} of {found.count:,}; log {self._log_bytes():,} bytes;"
            f" {self._resident_kb():,} kB resident; {len(tally.failures)} failures"
        )

    def _resident_kb(self) -> int:
        process = self.subject.director.process
        with suppress(OSError, KeyError):
            return look(process.pid).resident_kb if process else 0
        return 0

    def _log_bytes(self) -> int:
        return (self.subject.directory / "log").stat().st_size

    def _settle(self) -> None:
        """Everybody alive is answered once more, then all go home."""
        self.peace.set()
        for each in self.held:
            each.wait_for_a_round()
        self.reports = [each.report() for each in self.held]
        self.newcomers.end()
        self.watching.end()
        self.took_s = time.monotonic() - self.began_s
        status = self.subject.director.stop()
        if status != 0:
            self.tally.fail(f"the director ended with status {status}")

    def report(self) -> bool:
        """Prints the table; true if all of it held."""
        rows = [*self._rows()]
        print("\n| what | figure | bound | held |\n| --- | --- | --- | --- |")
        for what, figure, bound, held in rows:
            print(f"| {what} | {figure} | {bound} | {'yes' if held else '**no**'} |")
        for what in self.tally.failures:
            print(f"failure: {what}")
        for call in self.newcomers.calls:
            if call.which_try != "first" and not call.is_within(self.pauses):
                print(f"{call.began_s - self.began_s:7.1f} {call}")
        slowest = self.tally.longest_s.most_common()
        print("longest:", ", ".join(f"{what} {seconds:.1f} s" for what, seconds in slowest))
        return all(row[-1] for row in rows)

    def _rows(self) -> Iterator[tuple[str, str, str, bool]]:
        tally, books = self.tally, self.watching.books
        done = sum(tally.disturbances.values())
        yield "lasted", f"{self.took_s / 60:.1f} min, seed {self.seed}", "", True
        yield "disturbances", f"{done:,} of {len(tally.disturbances)} kinds", "", True
        kinds = f"{sum(tally.floods.values()):,} floods of {len(tally.floods)} kinds"
        yield "hostile frames", f"{tally.frames:,} in {kinds}", "", True
        yield "hostile clients", f"{sum(tally.clients.values()):,}", "", True
        yield "frames the director met", f"{books.frames:,}", "", True
        yield from self._rows_of_the_held()
        yield from self._rows_of_the_newcomers()
        balanced = books.snapshots - len(books.unbalanced)
        yield (
            *("books balanced", f"{balanced:,} of {books.snapshots:,} snapshots", "all"),
            not books.unbalanced and books.snapshots > 0,
        )
        yield (
            *("control socket silent", f"{books.unanswered}, slowest {books.slowest_s:.2f} s"),
            *("0, outside pauses", books.unanswered == 0),
        )
        for number, (before, after) in enumerate(tally.compared, 1):
            yield from _rows_of_a_life(number, before, after, self._most_growth)
        yield from self._rows_of_the_log()
        yield "failures", str(len(tally.failures)), "0", not tally.failures

    @property
    def _most_growth(self) -> float:
        return MOST_GROWTH if self.minutes >= SOON_MINUTES else MOST_GROWTH_SOON

    def _rows_of_the_held(self) -> Iterator[tuple[str, str, str, bool]]:
        def of(name: str) -> int:
            return sum(int(each[name]) for each in self.reports)

        slowest = max(float(each["slowest_s"]) for each in self.reports)
        alive = f"{of('alive')} of {sum(each.count for each in self.held)}, longest wait"
        harm = of("broken") + of("moved") + of("wrong")
        yield "established connections", f"{alive} {slowest:.1f} s", "all alive", harm == 0
        told = f"{of('answered'):,}, {of('wrong')} wrong, {of('moved')} by another server"
        yield "their answers", told, "none wrong, none moved", harm == 0

    def _rows_of_the_newcomers(self) -> Iterator[tuple[str, str, str, bool]]:
        found = served(self.newcomers.calls, self.pauses)
        told = (
            f"{found.share:.2%} of {found.count:,} ({found.first:,} at the first,"
            f" {found.second:,} at the second SYN, {found.not_served:,} not at all;"
            f" {found.during_pauses:,} more during pauses of {self.pauses.total_s:.0f} s)"
        )
        bound = f"{LEAST_SERVED:.0%} at the first or second"
        yield "newcomers served", told, bound, found.share >= LEAST_SERVED

    def _rows_of_the_log(self) -> Iterator[tuple[str, str, str, bool]]:
        log = self.subject.director.log
        rate = len(log.encode()) / (self.took_s / 60)
        told = f"{len(log.encode()):,} bytes, {rate:,.0f} a minute"
        bound = f"{MOST_LOG_BYTES_A_MINUTE:,} a minute"
        yield "log", told, bound, rate < MOST_LOG_BYTES_A_MINUTE
        traces = log.count("Traceback")
        yield "tracebacks in it", str(traces), "0", traces == 0


def _rows_of_a_life(
    number: int, before: Held, after: Held, most: float
) -> Iterator[tuple[str, str, str, bool]]:
    growth = after.resident_kb / before.resident_kb - 1
    told = f"{before.resident_kb:,} kB, then {after.resident_kb:,} kB: {growth:+.1%}"
    yield f"memory, life {number}", told, f"{most:+.0%}", growth <= most
    for name, most in (("descriptors", 0), ("threads", MOST_THREADS), ("children", 0)):
        now, then = getattr(after, name), getattr(before, name)
        bound = f"no more, or {most}" if most else "no more"
        yield f"{name}, life {number}", f"{then}, then {now}", bound, now <= max(then, most)


_IN_LIFE = (*GENTLE * 5, *PAUSING)
"""Most of the time nothing may pause."""
_LISTENING = f"127.0.0.1:{situation.LISTEN_PORT}"


def _mount(*words: str) -> None:
    """For this process and its children alone."""
    subprocess.run(["mount", *words], check=True)


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument("--rate", type=int, default=4000, help="frames a second of each flood")
    parser.add_argument("--verbose", action="store_true", help="tell of each disturbance")
    asked = parser.parse_args()
    print(f"seed {asked.seed}, {asked.minutes:g} minutes", flush=True)
    acquire_privileges()
    unshare(_CLONE_NEWNS)
    _mount("--make-rprivate", "/")
    with tempfile.TemporaryDirectory(prefix="hour-") as directory, ExitStack() as stack:
        state_dir = Path(directory, "state")
        state_dir.mkdir(mode=0o700)
        _mount("-t", "tmpfs", "-o", DISK, "hour", str(state_dir))
        stack.callback(subprocess.run, ["umount", str(state_dir)], check=True)
        lab = stack.enter_context(Lab(situation.TOPOLOGY))
        situation.write_commands(Path(directory))
        hour = Hour(lab, Path(directory), asked)
        try:
            held = hour.run()
        finally:
            shutil.copy(Path(directory, "log"), "hour.director.log")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
