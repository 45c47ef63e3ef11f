"""Command lines of ipvsadm by chance, sensible and not. Pure: a seed makes a story."""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable
from typing import Any

COUNT = 40
SERVICES = (
    *(["-t", "10.9.0.100:80"], ["-u", "10.9.0.100:53"], ["-f", "1"], ["-f", "2", "-6"]),
    *(["-t", "[fd00:9::100]:80"], ["--tcp-service", "10.9.0.100:443"]),
    *(["--sctp-service", "10.9.0.100:80"], ["--fwmark-service", "3"]),
)
ADDRESSES = (
    *("10.9.0.100", "10.9.0.100:0", "10.9.0.100:http", "10.9.0.100:99999", "300.1.1.1:80"),
    *("fd00:9::100:80", "[fd00:9::100]", "10.9.0.100:", "10.9.0.100:-1", ":80", "", "*:80"),
    *("10.9.0.100:65535", "10.9.0.100:080", "10.9.0:80", "0x0a090064:80", "10.9.0.100:80x"),
    *("[fd00:9::100]:", "[fd00:9::100", "[10.9.0.100]:80", "10.9.0.100:1e2", "10.9.0.100: 80"),
)
MARKS = ("0", "-1", "abc", "4294967295", "4294967296", "0x10", "010", "99999999999", "1.5", "")
SERVERS = ("10.9.0.11:80", "10.9.0.12:80", "10.9.0.13", "10.9.0.11:8080", "10.9.0.14:0")
ODD_SERVERS = (
    *("10.9.0.15:http", "[fd00:9::11]:80", "[fd00:9::12]", "10.9.0.11:99999", "nosuch", ""),
    *("0.0.0.0:80", "255.255.255.255:80"),
)
SCHEDULERS = ["rr", "wrr", "lc", "wlc", "sh", "dh", "mh", "sed", "nq", "fo", "ovf", "lblc", "lblcr"]
ODD_SCHEDULERS = ("nosuch", "", "RR", "a-very-long-scheduler-name")
NUMBERS = (
    *("0", "1", "5", "100", "65535", "65536", "2147483647", "2147483648", "4294967295"),
    *("4294967296", "-1", "-5", "abc", "", "1x", "0x10", "010", "1 ", "+3", "9" * 20),
)
WEIGHTS = ("0", "1", "2", "3", "10", "100", "65535", "65536", "2147483647")
MASKS = (
    *("255.255.255.0", "255.255.255.255", "24", "0.0.0.0", "abc", "64", "128", "129", "0"),
    *("255.0.255.0", "255.255.255", "", "-1"),
)
TIMEOUTS = ("60", "360", "1", "0", "2678400", "2678401", "abc", "-5", "", "010", "1.5")
FLAGS = (
    *("sh-port", "sh-fallback", "mh-port", "mh-fallback", "flag-1", "flag-2", "flag-3"),
    *("sh-port,sh-fallback", "nosuch", "", "sh-port,", "mh-fallback,mh-port,flag-3", "SH-PORT"),
)
ENGINES = ("nosuch", "a-very-long-engine-name")
VIEWS = (
    *("-n", "--numeric", "--exact", "--sort", "--thresholds", "--persistent-conn", "--timeout"),
    *("--daemon", "-6", "--stats", "--rate"),
)
STRAY = (
    *("extra", "--nosuch", "-z", "-w", "--", "--exact", "-n", "-c", "--syncid 3", "--daemon"),
    *("--mcast-interface eth0", "--sync-maxlen 100", "--timeout", "-r 10.9.0.11:80", "-S"),
    *("-L", "-6", "--rate", "--tun-port 80", "--tun-type ipip", "-s rr", "-w 1"),
)
VERBS = {
    "A": (14, "-A", "--add-service"),
    "E": (8, "-E", "--edit-service"),
    "D": (6, "-D", "--delete-service"),
    "C": (1, "-C", "--clear"),
    "S": (3, "-S", "--save"),
    "a": (20, "-a", "--add-server"),
    "e": (12, "-e", "--edit-server"),
    "d": (8, "-d", "--delete-server"),
    "L": (14, "-L", "--list", "-l"),
    "Z": (3, "-Z", "--zero"),
}
DAEMON = (
    *("", "--mcast-interface eth0", "--syncid 5", "--syncid 256", "--syncid -1"),
    *("--sync-maxlen 1000", "--sync-maxlen 0", "--mcast-group 224.0.0.90"),
    *("--mcast-group 10.0.0.1", "--mcast-port 9000", "--mcast-port 70000", "--mcast-ttl 3"),
    *("--mcast-ttl 0", "--mcast-ttl 256", "--mcast-interface eth0 --syncid 7 --mcast-ttl 9"),
)
ROLES = ("master", "backup", "mas", "", "master backup", "Master")
REST = (
    *("", "-", "-x", "-n", "--sort", "-c", "-q", "foo", "-Ln foo", "-L -Z", "-C foo", "-LZ"),
    *("-C -t 10.9.0.100:80", "-Z -t 10.9.0.101:99", "-LnS"),
)
GARBAGE = ("", "# comment", "garbage", "  -A -t 10.9.0.100:81 -s rr  ", '"-A" -t 10.9.0.100:83')


class _Lines:
    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def line(self) -> list[str]:
        """The words after ``ipvsadm``."""
        pick, kind = self._chance.choice, self._chance.random()
        if kind < 0.03:
            return ["--set", *(pick(NUMBERS) for _ in range(pick((3, 3, 3, 2, 4, 1))))]
        if kind < 0.05:
            return pick(REST).split()
        if kind < 0.09:
            verb = pick(("--start-daemon", "--stop-daemon"))
            return [verb, *pick(ROLES).split(), *pick(DAEMON).split()]
        weights = [row[0] for row in VERBS.values()]
        verb = self._chance.choices(list(VERBS), weights=weights)[0]
        words = [pick(VERBS[verb][1:])]
        if verb in "AEDaed" or (verb in "LZ" and self._often(0.3)):
            words += self._service()
        options = self._options(verb)
        if self._often(0.06):
            options.append(pick(STRAY).split())
        self._chance.shuffle(options)
        return words + [word for option in options for word in option]

    def given(self) -> str:
        """What -R reads."""
        lines = [
            self._chance.choice(GARBAGE) if self._often(0.1) else " ".join(self.line())
            for _ in range(self._chance.randint(1, 6))
        ]
        return "\n".join(lines) + self._chance.choice(("\n", ""))

    def _often(self, share: float) -> bool:
        return self._chance.random() < share

    def _one(self, usual: tuple[str, ...] | list[str], odd: tuple[str, ...], share: float) -> str:
        return self._chance.choice(odd if self._often(share) else usual)

    def _service(self) -> list[str]:
        pick, kind = self._chance.choice, self._chance.random()
        if kind < 0.75:
            return list(pick(SERVICES))
        if kind < 0.88:
            return [pick(("-t", "-u", "--tcp-service", "--sctp-service")), pick(ADDRESSES)]
        if kind < 0.94:
            return [pick(("-f", "--fwmark-service")), pick(MARKS), *pick(([], ["-6"]))]
        odd = (["-t"], ["-t10.9.0.101:80"], ["-t", "10.9.0.100:80", "-f", "1"], [])
        return list(pick(odd))

    def _options(self, verb: str) -> list[list[str]]:
        pick = self._chance.choice
        found: list[list[str]] = []

        def maybe(share: float, words: Callable[[], list[str]]) -> None:
            if self._often(share):
                found.append(words())

        if verb in "AE":
            maybe(0.7, lambda: ["-s", self._one(SCHEDULERS, ODD_SCHEDULERS, 0.15)])
            maybe(0.3, lambda: ["-p", pick(TIMEOUTS)] if self._often(0.8) else ["--persistent"])
            maybe(0.2, lambda: ["-M", pick(MASKS)])
            maybe(0.2, lambda: ["-b", pick(FLAGS)])
            maybe(0.1, lambda: [pick(("-o", "--ops"))])
            maybe(0.06, lambda: ["--pe", pick(ENGINES)])
        elif verb in "aed":
            maybe(0.95, lambda: ["-r", self._one(SERVERS, ODD_SERVERS, 0.3)])
            maybe(0.1 if verb == "d" else 0.7, lambda: ["-g"])
            maybe(0.1 if verb == "d" else 0.7, lambda: ["-w", self._one(WEIGHTS, NUMBERS, 0.3)])
            maybe(0.25, lambda: ["-x", pick(NUMBERS)])
            maybe(0.25, lambda: ["-y", pick(NUMBERS)])
        elif verb in "LS":
            for view in VIEWS:
                maybe(0.12, lambda view=view: [view])
        return found


def command_lines(seed: int) -> dict[str, Any]:
    """A table that they change, and that is looked at now and then."""
    chance, lines = random.Random(seed), _Lines(seed)
    steps: list[dict[str, Any]] = [
        {"do": f"ipvsadm {line}"}
        for line in (
            "-A -t 10.9.0.100:80 -s wlc",
            "-a -t 10.9.0.100:80 -r 10.9.0.11:80 -g -w 1",
            "-A -u 10.9.0.100:53 -s rr",
            "-A -f 1 -s wrr -p 60",
        )
    ]
    for _ in range(COUNT):
        if chance.random() < 0.05:
            steps.append({"do": "ipvsadm -R", "stdin": lines.given()})
        else:
            steps.append({"do": shlex.join(["ipvsadm", *lines.line()])})
        if chance.random() < 0.3:
            steps.append({"do": "ipvsadm -Sn"})
    steps += [{"do": "ipvsadm -Ln --thresholds"}, {"do": "ipvsadm -Sn"}]
    return {"scenario": f"lines-{seed}", "about": "by chance", "steps": steps}
