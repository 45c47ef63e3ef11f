"""Generator: sends the loads it is told to on standard input, one a line, as JSON.

    python -m dr_forwarder.bench.generator INTERFACE CPU

`Generator` is its other side.
"""

from __future__ import annotations

import json
import socket
import sys
from dataclasses import asdict
from subprocess import PIPE
from types import TracebackType
from typing import Any

from ..lab.namespace import Namespace
from .errors import BenchError
from .native import generate
from .runs import Load, Sent


class Generator:
    """One that runs in a namespace, on a CPU of its own; a context manager."""

    def __init__(self, inside: Namespace, interface: str, cpu: int) -> None:
        argv = [sys.executable, "-m", "dr_forwarder.bench.generator", interface, str(cpu)]
        self._process = inside.popen(argv, stdin=PIPE, stdout=PIPE)
        self._answer()

    def send(self, load: Load) -> Sent:
        """Send it, and wait until that is done."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(load) | {"to": load.to.hex()}) + "\n")
        self._process.stdin.flush()
        said = self._answer()
        return Sent(**said | {"latencies_ns": tuple(said["latencies_ns"])})

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchError("the generator has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Generator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def main(interface: str, cpu: str) -> None:
    """The program."""
    index = socket.if_nametoindex(interface)
    print("{}", flush=True)
    for line in sys.stdin:
        wanted = json.loads(line)
        load = Load(**wanted | {"to": bytes.fromhex(wanted["to"])})
        print(json.dumps(asdict(generate(load, index, cpu=int(cpu)))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
