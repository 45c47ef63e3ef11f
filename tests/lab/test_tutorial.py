"""The tutorial: every command of it is run, and prints what stands there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from running import wait_until

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
LIMIT_S = 60.0
_STEP = re.compile(
    r"```console\n\$ (?P<command>.*?)\n(?P<output>.*?)```|<!-- until: (?P<until>.*?) -->", re.S
)
_CHANGING = (
    (re.compile(r"\d\d:\d\d:\d\d\.\d{6}"), "TIME"),
    (re.compile(r"^\d{4}-\d\d-\d\d TIME", re.M), "TIME"),
    (re.compile(r"\b\d+\.\d{6}\b"), "SECONDS"),
    (re.compile(r"10\.10\.10\.10:\d+"), "10.10.10.10:PORT"),
    (re.compile(r"^ *\d+ (?=TIME)", re.M), "NUMBER "),
    (re.compile(r"Frame \d+:"), "Frame NUMBER:"),
    (re.compile(r"\b(?:id|seq|chksum|window|len|sport)=\S+"), "FIELD"),
    (re.compile(r"(10\.10\.10\.6[23]) +1 +\d+ +\d+"), r"\1 1 N N"),
    (re.compile(r"[1-9]\d* +[1-9]\d* +[1-9]\d* +tcp"), "N N N tcp"),
    (re.compile(r"\d+ connections made, \d+ left"), "N connections made, N left"),
    (re.compile(r"^\d+ flows", re.M), "N flows"),
    (re.compile(r"\b\d+ active and \d+ inactive"), "N active and N inactive"),
    (re.compile(r"[ ─]+"), " "),
)
"""What is another one each time the page is run."""


@dataclass(frozen=True, slots=True)
class Step:
    """A command and what it prints; or a condition to wait for."""

    command: str
    output: str = ""
    until: bool = False


def steps() -> Iterator[Step]:
    for found in _STEP.finditer(TUTORIAL.read_text()):
        if found["until"]:
            yield Step(found["until"], until=True)
        else:
            yield Step(found["command"], found["output"])


def plain(text: str) -> str:
    """Without what changes from run to run, and without the breadth of columns."""
    for pattern, word in _CHANGING:
        text = pattern.sub(word, text)
    return "\n".join(line.strip() for line in text.splitlines())


def pattern(output: str) -> str:
    """A line of three dots stands for any lines."""
    lines = plain(output).splitlines()
    return "".join(r"(?:.*\n)*?" if x == "..." else re.escape(x) + "\n" for x in lines)


def matches(expected: str, printed: str) -> bool:
    return re.fullmatch(pattern(expected), plain(printed) + "\n" if printed else "") is not None


@dataclass
class Reader:
    """Somebody who types the page's commands into a shell."""

    directory: Path
    behind: list[tuple[Step, subprocess.Popen[bytes], Path]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "XDG_RUNTIME_DIR": str(self.directory),
            "COLUMNS": "100",
        }

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def holds(self, condition: str) -> bool:
        return self.run(condition).returncode == 0

    def start(self, step: Step, cleanup: ExitStack) -> None:
        """Goes on when its first line is there."""
        path = self.directory / f"output-{len(self.behind)}"
        with path.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {step.command.removesuffix('&')}"],
                cwd=self.directory,
                env=self.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        cleanup.callback(end, process)
        wait_until(
            lambda: b"\n" in path.read_bytes() or process.poll() is not None,
            f"{step.command} says something",
            limit_s=LIMIT_S,
        )
        self.behind.append((step, process, path))

    def follow(self, step: Step, cleanup: ExitStack) -> None:
        if step.until:
            wait_until(lambda: self.holds(step.command), step.command, limit_s=LIMIT_S)
        elif step.command.endswith(" &"):
            self.start(step, cleanup)
        else:
            done = self.run(step.command)
            assert matches(step.output, done.stdout), f"$ {step.command}\n{done.stdout}"

    def finish(self) -> None:
        """What ran beside has ended, and has printed what stands below it."""
        for step, process, path in self.behind:
            assert process.wait(LIMIT_S) == 0, step.command
            assert matches(step.output, path.read_text()), f"$ {step.command}\n{path.read_text()}"


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(LIMIT_S)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_command_of_the_tutorial_prints_what_stands_there(
    possible: None, tmp_path: Path
) -> None:
    reader = Reader(tmp_path)
    with ExitStack() as cleanup:
        for step in steps():
            reader.follow(step, cleanup)
        reader.finish()


def test_there_is_something_to_run() -> None:
    assert len([*steps()]) > 15
