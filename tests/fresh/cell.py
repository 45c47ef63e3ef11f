"""One cell of the table: one system, one user."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO

import roots

SOURCES = Path(__file__).resolve().parents[2]
ENTER = Path(__file__).with_name("enter.sh")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LIMITS_S = {"make demo": 600, "make test": 1800, "make test-packages": 900}
FIRST_WORD_S = 2.0


@dataclass(frozen=True)
class Result:
    python: str = ""
    demo_s: float = 0.0
    test_s: float = 0.0
    passed: int = 0
    skipped: int = 0
    failed: int = 0
    wrong: str = ""
    """What went wrong first; empty if nothing did."""

    @property
    def good(self) -> bool:
        return not self.wrong and self.passed > 0 and not self.failed


@dataclass(frozen=True)
class Ran:
    status: int
    output: str
    took_s: float
    first_word_s: float


@dataclass(frozen=True)
class Cell:
    system: str
    user: str
    packages: bool

    @property
    def name(self) -> str:
        return f"{self.system}-{self.user}" + ("-packages" if self.packages else "")

    def run(self, archive: Path, log: Path) -> Result:
        with log.open("w") as out, roots.unpacked(archive, SOURCES) as root:
            place = Place(root, out)
            python = place.run(self.user, "python3 -V").output.split()[-1]
            demo = place.run(self.user, "make demo")
            wrong = "make demo" if demo.status else ""
            if demo.first_word_s > FIRST_WORD_S:
                wrong = wrong or f"make demo said nothing for {demo.first_word_s:.0f} s"
            if self.packages and place.run("root", "make test-packages").status:
                wrong = wrong or "make test-packages"
            test = place.run(self.user, "make test")
            if test.status:
                wrong = wrong or "make test"
        return Result(
            python, demo.took_s, test.took_s,
            count(test.output, "passed"),
            count(test.output, "skipped"),
            count(test.output, "failed") + count(test.output, "errors?"),
            wrong,
        )  # fmt: skip


def count(output: str, what: str) -> int:
    """The number before a word in pytest's last line."""
    summary = next(reversed(re.findall(r"^=+ .* in .*s.* =+$", output, re.MULTILINE)), "")
    found = re.search(rf"(\d+) {what}\b", summary)
    return int(found[1]) if found else 0


@dataclass(frozen=True)
class Place:
    """A root directory in which commands are run, with an environment of PATH and HOME."""

    root: Path
    log: IO[str]

    def run(self, user: str, command: str) -> Ran:
        home, ids = ("/root", "0") if user == "root" else (f"/home/{roots.USER}", str(roots.UID))
        self.log.write(f"$ {command}    # {user}\n")
        self.log.flush()
        argv = [
            "setpriv", "--pdeathsig", "KILL",
            "unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child",
            "sh", str(ENTER), str(self.root), *roots.host_paths(), "--",
            "env", "-i", f"PATH={PATH}", f"HOME={home}",
            "setpriv", "--reuid", ids, "--regid", ids, "--clear-groups",
            "sh", "-c", f"cd ~/dr_forwarder && exec {command}",
        ]  # fmt: skip
        began_s = time.monotonic()
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        clock = threading.Timer(LIMITS_S.get(command, 60), process.kill)
        clock.start()
        try:
            output, first_s = self._listen(process)
            status = process.wait()
        finally:
            clock.cancel()
            process.kill()
            process.wait()
        took_s = time.monotonic() - began_s
        self.log.write(f"# status {status} after {took_s:.0f} s\n\n")
        return Ran(status, output, took_s, first_s - began_s)

    def _listen(self, process: subprocess.Popen[bytes]) -> tuple[str, float]:
        """All that it prints, and when it began to."""
        whole, first_s = bytearray(), 0.0
        assert isinstance(process.stdout, BufferedReader)
        while chunk := process.stdout.read1():
            first_s = first_s or time.monotonic()
            whole += chunk
            self.log.write(chunk.decode(errors="replace"))
            self.log.flush()
        return whole.decode(errors="replace"), first_s or time.monotonic()
