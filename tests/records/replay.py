"""A recording against the core, step by step: ``differences``."""

from __future__ import annotations

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import Any

from . import compare, deviations
from .commandline import RecordedNames, Shell
from .compare import Counted, Entry, Found, Lingering, Table, near, same
from .deviations import Case, Pieces
from .load import Load
from .messages import Messages
from .wire import DIRECTOR_MAC, endpoint, is_fragment, outcome_of, place, sctp, source_of, tcp, udp
from .world import MTU, World

Step = dict[str, Any]

SPREAD_S = 0.5
"""A load of so many a second is over when its step is recorded; here it comes at once, before."""
TICK_S = 0.25
"""Time passes in steps of this, as for the director's own loop when no frame comes."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What did not match, and where."""

    number: int
    step: Step
    what: str
    expected: object
    got: object

    def __str__(self) -> str:
        where = self.step.get("label") or self.step.get("name") or ""
        return (
            f"step {self.number}, t={self.step.get('t')}: {self.step['do']} {where}\n"
            f"  {self.what}\n  expected: {self.expected}\n  got:      {self.got}"
        )


def differences(record: dict[str, Any]) -> Iterator[Difference]:
    """Everything that does not match, in order; after the first the rest may be its echo."""
    found = re.search(r"eth0 MTU (\d+)", record["about"])
    with ExitStack() as within:
        world = within.enter_context(World(mtu=int(found[1]) if found else MTU))
        shell = Shell(world, RecordedNames(record.get("etc_hosts", ())))
        replay = _Replay(world, record["steps"], shell)
        if any(step["do"].startswith(_ON_BACKUP) for step in record["steps"]):
            other = within.enter_context(World())
            replay.listen(_Replay(other, [{}], Shell(other, RecordedNames())))
        for number, step in enumerate(record["steps"]):
            if before := record.get("table_before_each"):
                for line in ("--stop-daemon master", "--stop-daemon backup", "-C", *before):
                    shell.run(f"ipvsadm {line}")
            for what, expected, got in replay.play(number, step):
                yield Difference(number, step, what, expected, got)
        for line in shell.refused_wrongly:
            yield Difference(0, {"do": line}, "refusal", "refused", "done")


class _Replay:
    """What must be remembered from one step to the next."""

    def __init__(self, world: World, steps: Sequence[Step], shell: Shell) -> None:
        self._world = world
        self._shell = shell
        self._steps = steps
        self._number = 0
        self._connections = compare.Connections()
        self._ended: set[tuple[str, str]] = set()
        self._lots: set[str] = set()
        self._drawn: Counter[str] = Counter()
        self._load = Load(world)
        self._strict = False
        self._counted = Counted()
        self._messages = Messages(world)
        self._backup: _Replay | None = None
        self._plays: dict[str, Callable[[Step], Found]] = {
            "packets": self._packets,
            "frames": self._frames,
            "cell": self._cell,
            "walk": self._walk,
            "life-start": self._life_start,
            "life": self._life,
            "again": self._again,
            "sent": self._load.send,
            "sync messages seen": self._seen,
            "packet to the backup": self._to_backup,
        }

    def play(self, number: int, step: Step) -> Found:
        """Carries out one step."""
        self._number = number
        do = step["do"]
        if do != "life":
            self._go_to(step.get("t", 0) - (SPREAD_S if "packets_so_far" in step else 0))
        if do == "wait" and self._steps[number + 1 :] and self._steps[number + 1]["do"] == "again":
            self._send_flags(self._steps[number + 1])
        if deviations.is_ignored(step) or ("-R <" in do and self._shell.has_other_methods):
            return
        if do in self._plays:
            yield from self._plays[do](step)
        elif do.startswith(_ON_BACKUP):
            yield from self._on_backup(step)
        elif do.startswith(("ipvsadm", "cat /proc/net/", "head ")):
            yield from self._line(step)
        elif found := re.fullmatch(r"sysctl -w net\.([\w.]+)=(.*)", do):
            self._set(found[1], found[2])
        elif found := re.fullmatch(r"ip (?:-6 )?route add (\S+)/\d+ dev eth0 mtu (\d+)", do):
            self._world.add_route(ip_address(found[1]), int(found[2]))
        elif do.startswith("nft "):
            self._world.add_marks(do)
        else:
            yield "a step this runner does not know", "", do

    def _set(self, name: str, value: str) -> None:
        self._world.set_sysctl(name.removeprefix("ipv4.vs."), value)
        if name.endswith(".rp_filter"):
            self._strict = value != "0"

    # ---- The clock ----

    def _go_to(self, seconds: float) -> None:
        """Not past the end of an entry that the kernel, late, still has (deviations.LATE)."""
        late = self._late_entries()
        while self._world.seconds < seconds - 1e-6:
            if late and late & compare.entries(self._world.ending_lines(2 * TICK_S)).keys():
                return
            self._world.go_to(min(self._world.seconds + TICK_S, seconds))

    def _late_entries(self) -> set[Entry]:
        """Those with nothing left, in the listings that belong to the same time."""
        return {
            entry
            for step in self._at_this_time()
            for entry, lefts in compare.entries(step.get("sorted", ())).items()
            if 0 in lefts
        }

    def _at_this_time(self) -> Iterator[Step]:
        """This step and those around it that were recorded without time passing between."""
        at = self._steps[self._number].get("t")
        first = last = self._number
        while first > 0 and self._steps[first - 1].get("t") == at:
            first -= 1
        while last < len(self._steps) and self._steps[last].get("t") == at:
            last += 1
        return iter(self._steps[first:last])

    # ---- Packets ----

    def _send(
        self, frame: bytes, expected: str, what: str, source: str = "", target: str = ""
    ) -> Found:
        outcome = self._world.forward(frame)
        ended = any(source == each for each, _ in self._ended)
        case = Case(expected, outcome, frame, ended=ended, lots=target in self._lots)
        if case.lots:
            self._drawn[outcome.text] += 1
        if outcome.text != expected and not deviations.allows(case):
            yield what, expected, f"{outcome.text} ({outcome.verdict})"

    def _packets(self, step: Step) -> Found:
        self._drawn = Counter()
        build = {"tcp": tcp, "udp": lambda _, source, target: udp(source, target)}[step["proto"]]
        for row in step["rows"]:
            cells = dict(zip(step["cols"], row, strict=True))
            if "t" in cells and cells["t"] > step["t"]:
                self._go_to(cells["t"])
            flags, source = cells.get("flags", ""), cells["src"]
            if deviations.is_withheld(cells["got"], source):
                continue
            what = f"{step['proto']} {flags or '(no flags)'} {source} -> {step['dst']}"
            frame = build(flags, source, step["dst"])
            yield from self._send(frame, cells["got"], what, source, step["dst"])
        if self._drawn:
            theirs = Counter(row[step["cols"].index("got")] for row in step["rows"])
            yield from compare.alike(theirs, self._drawn)

    # ---- States ----

    def _entry(self, source: str) -> tuple[str, int] | tuple[None, None]:
        """State and seconds left."""
        client, port = endpoint(source)
        found = self._world.find(lambda row: (row.client, row.client_port) == (client, port))
        return (found.state, int(found.left_s)) if found else (None, None)

    def _entry_is(self, what: str, state: str | None, left_s: int | None, source: str) -> Found:
        got, got_s = self._entry(source)
        yield from same(f"{what}: state", state, got)
        yield from near(f"{what}: seconds left", left_s, got_s)

    def _send_flags(self, step: Step) -> None:
        for flags in step["flags"].split():
            self._world.forward(tcp(flags, step["src"], self._world.target()))

    def _cell(self, step: Step) -> Found:
        source, target = self._load.client(), self._world.target()
        for flags in step["path"].split():
            self._world.forward(tcp(flags, source, target))
        what = f"{step['state']} + {step['flags']}"
        yield from same(f"{what}: state before", step["state"], self._entry(source)[0] or "(none)")
        counts = self._world.counts()
        frame = tcp(step["flags"], source, target)
        yield from self._send(frame, step["got"], f"{what}: outcome", source)
        after = None if step["next"] == "(none)" else step["next"]
        yield from self._entry_is(what, after, step["timeout"], source)
        wanted = (step["active_change"], step["inactive_change"])
        yield from same(f"{what}: active, inactive", wanted, self._change(counts))

    def _change(self, before: tuple[int, int]) -> tuple[int, int]:
        active, inactive = self._world.counts()
        return active - before[0], inactive - before[1]

    def _walk(self, step: Step) -> Found:
        lingering = Lingering()
        for number, row in enumerate(step["rows"], start=1):
            cells = dict(zip(step["cols"], row, strict=True))
            event = cells.get("flags", cells.get("chunk_type"))
            what = f"packet {number} ({event})"
            counts = self._world.counts()
            build = sctp if "chunk_type" in cells else tcp
            frame = build(event, step["src"], self._world.target())
            yield from self._send(frame, cells["got"], f"{what}: outcome", step["src"])
            if "active_change" not in cells:
                continue  # of SCTP neither state nor counts were looked at
            yield from self._entry_is(what, cells["state"], cells["left"], step["src"])
            wanted = (cells["active_change"], cells["inactive_change"])
            got = self._change(counts)
            if not lingering.allows(wanted, got):
                yield f"{what}: active, inactive", wanted, got

    def _life_start(self, step: Step) -> Found:
        yield from self._entry_is("start", *step["entry"], self._latest_source(step))

    def _latest_source(self, step: Step) -> str:
        """Who sent the last of the packets before this step."""
        number = self._steps.index(step)
        packets = [one for one in self._steps[:number] if one["do"] == "packets"][-1]
        return str(packets["rows"][-1][packets["cols"].index("src")])

    def _life(self, step: Step) -> Found:
        """An entry lives as long as its time-out says, and not longer than the kernel's."""
        start = step["t"] - step["gone_after"]
        self._go_to(start)
        source = step.get("src") or self._latest_source(step)
        if "flags" in step:
            self._send_flags(step)
            yield from self._entry_is("start", step["state"], step["left_at_start"], source)
        lives_s = self._entry(source)[1] or 0
        self._go_to(start + lives_s - 1)
        yield from same("alive a second before its end", True, self._entry(source)[0] is not None)
        self._go_to(step["t"])
        yield from same(f"gone after {step['gone_after']} s", None, self._entry(source)[0])

    def _again(self, step: Step) -> Found:
        """Its first packets were sent before the wait that leads here."""
        yield from self._entry_is("before", *step["before"], step["src"])
        self._world.forward(tcp(step["then"], step["src"], self._world.target()))
        yield from self._entry_is("after", *step["after"], step["src"])

    # ---- Frames ----

    def _frames(self, step: Step) -> Found:
        recorded: dict[int, list[bytes]] = defaultdict(list)
        for answer in step["got"]:
            frame = bytes.fromhex(answer["hex"])
            # Other stations answer for themselves.
            if frame[6:12] == DIRECTOR_MAC:
                recorded[answer["after_frame"]].append(frame)
        sent = tuple(bytes.fromhex(text) for text in step["sent"])
        if any(is_fragment(frame) for frame in sent):
            yield from self._pieces(sent, tuple(f for each in recorded.values() for f in each))
            return
        for number, frame in enumerate(sent):
            yield from self._frame(number, frame, recorded[number])

    def _pieces(self, sent: tuple[bytes, ...], theirs: tuple[bytes, ...]) -> Found:
        """A step is about one datagram."""
        before = self._world.counters()
        pieces = Pieces(sent, theirs, tuple(self._world.forward(frame) for frame in sent))
        alike = sorted(map(deviations.normal, theirs)) == sorted(
            map(deviations.normal, pieces.emitted)
        )
        if not alike and not deviations.allows_pieces(pieces):
            ours = [f"{outcome.text} ({outcome.verdict})" for outcome in pieces.ours]
            yield "fragments", [outcome_of((frame,), "").text for frame in theirs], ours
        self._counted.note(before, self._world.counters(), pieces)

    def _frame(self, number: int, frame: bytes, recorded: list[bytes]) -> Found:
        expected = outcome_of(tuple(recorded), "").text
        outcome = self._world.forward(frame)
        what = f"frame {number}"
        if deviations.is_misread(frame) and outcome.verdict == "forwarded":
            self._connections.misread(source_of(frame))
        if deviations.allows(Case(expected, outcome, frame, strict=self._strict)):
            return
        if outcome.text != expected:
            yield what, expected, f"{outcome.text} ({outcome.verdict})"
            return
        yield from same(f"{what}: count", len(recorded), len(outcome.sent))
        for wanted, sent in zip(recorded, outcome.sent, strict=False):
            alike = deviations.normal(wanted) == deviations.normal(sent)
            if not alike or place(wanted) != place(sent):
                yield f"{what}: bytes", wanted.hex(), sent.hex()

    # ---- A backup ----

    def listen(self, backup: _Replay) -> None:
        """Has another director hear what this one says."""
        self._backup = backup
        self._messages.hear = backup._world.hear

    def _seen(self, step: Step) -> Found:
        yield from self._messages.seen(step, self._both_go_to)

    def _both_go_to(self, seconds: float) -> None:
        for world in (self._world, self._backup and self._backup._world):
            if world:
                world.go_to(seconds)

    def _on_backup(self, step: Step) -> Found:
        assert self._backup is not None
        line = {**step, "do": step["do"].removeprefix(_ON_BACKUP)}
        if line.get("out") == [""]:
            line["out"] = []
        yield from self._backup.play(0, line)

    def _to_backup(self, step: Step) -> Found:
        assert self._backup is not None
        build = udp if step.get("proto") == "udp" else partial(tcp, step["flags"])
        frame = build(step["src"], step["dst"])
        yield from self._backup._send(frame, step["got"], f"from {step['src']}", step["src"])

    # ---- Command lines ----

    def _line(self, step: Step) -> Found:
        words = shlex.split(step["do"].partition(";")[0])[1:]
        self._note_lots(words)
        removes = bool(words) and words[0] in _REMOVING
        before = compare.entries(self._world.connection_lines()) if removes else {}
        done = self._shell.run(step["do"], step.get("stdin", ""))
        yield from same("exit status", step.get("rc", 0), done.status)
        yield from same("errors", list(step.get("err", ())), [line for line in done.error if line])
        if "out" in step or "sorted" in step:
            yield from self._compare_output(step, done.out)
        elif "err" in step:
            yield from same("output", [], list(done.out))
        if "table" in step:
            yield from same("table", step["table"], list(self._shell.run("ipvsadm -Sn").out))
        if "timeouts" in step:
            shown = self._shell.run("ipvsadm -L --timeout").out
            yield from same("time-outs", [step["timeouts"]], list(shown))
        if self._world.ends_orphans:
            ours = compare.entries(self._world.connection_lines())
            gone = before.keys() - ours.keys() | compare.entries(self._world.orphan_lines()).keys()
            self._ended |= {compare.server_of(entry) for entry in gone}

    def _compare_output(self, step: Step, ours: Sequence[str]) -> Found:
        theirs = [deviations.as_direct(line) for line in step.get("out", ())]
        if "sorted" in step:
            yield from self._compare_connections(step["sorted"], ours[2:])
        elif theirs[:1] == ["IPVS connection entries"]:
            yield from same("head", theirs[:2], list(ours[:2]))
            yield from self._compare_connections(theirs[2:], ours[2:])
        elif step["do"].startswith("head "):
            yield from same("head", theirs[:1], list(ours[:1]))
            yield from same("how many", len(theirs), len(ours))
        elif step["do"] == "cat /proc/net/ip_vs_conn_sync":
            yield from compare.origins(theirs, ours)
        elif deviations.is_in_kernel_order(step["do"]):
            yield from same("table", compare.blocks(theirs), compare.blocks(ours))
        else:
            table = Table(self._spared(), frozenset(self._lots), self._counted)
            yield from table.differences(theirs, ours)

    def _compare_connections(self, theirs: Sequence[str], ours: Sequence[str]) -> Found:
        theirs = [self._shell.with_own_port(line) for line in theirs]
        wanted, got = compare.entries(theirs), compare.entries(ours)
        yield from self._connections.differences(wanted, got, self._ended)

    def _note_lots(self, words: list[str]) -> None:
        if words and words[0] == "-A" and deviations.LOTS.intersection(words):
            self._lots.add(words[2])

    def _spared(self) -> tuple[Entry, ...]:
        """What the kernel had at this time and we may do without, by the nearest listing."""
        lines = [step["sorted"] for step in self._at_this_time() if "sorted" in step]
        ours = compare.entries(self._world.connection_lines())
        return tuple(
            compare.missing(compare.entries(lines[-1] if lines else ()), ours, self._ended)
        )


_ON_BACKUP = "on the backup: "
_REMOVING = {"-d", "-D", "-C"}
