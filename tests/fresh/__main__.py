"""`make demo` and `make test` on systems made for them, with what the README asks for and no more.

Needs root, git, mmdebstrap and util-linux. Run it as ``python3 tests/fresh`` (with ``--help``).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from cell import Cell, Result
from roots import SYSTEMS, UnavailableError, base

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dr-forwarder" / "fresh"
COLUMNS = "{:<11} {:<8} {:<5} {:<9} {:>6} {:>7} {:>8} {:>7} {:>6}  {}"
HEADINGS = ("system", "Python", "user", "packages", "demo s", "passed", "skipped", "failed")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/fresh", description=__doc__.splitlines()[0])
    parser.add_argument("--system", choices=SYSTEMS, action="append", help="only this one")
    parser.add_argument("--user", choices=("root", "user"), action="append", help="only this one")
    parser.add_argument(
        "--packages",
        choices=("none", "all"),
        action="append",
        help="without (default) or with those of `make test-packages`",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(os.environ.get("FRESH_CACHE") or CACHE),
        help="where the systems are kept (default: $FRESH_CACHE, else %(default)s)",
    )
    parser.add_argument("--anew", action="store_true", help="make the systems anew")
    parser.add_argument("--logs", type=Path, default=Path("build/fresh"), help="where logs go")
    return parser.parse_args()


def cells(chosen: argparse.Namespace) -> list[Cell]:
    return [
        Cell(system, user, packages == "all")
        for system in chosen.system or SYSTEMS
        for packages in chosen.packages or ("none",)
        for user in chosen.user or ("root", "user")
    ]


def line(cell: Cell, result: Result) -> str:
    return COLUMNS.format(
        cell.system,
        result.python,
        cell.user,
        "all" if cell.packages else "none",
        f"{result.demo_s:.0f}",
        result.passed,
        result.skipped,
        result.failed,
        f"{result.test_s:.0f}",
        "passed" if result.good else f"FAILED: {result.wrong}",
    )


def main() -> int:
    chosen = arguments()
    if os.geteuid() != 0:
        print("tests/fresh: needs root, to make systems and enter them", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    chosen.logs.mkdir(parents=True, exist_ok=True)
    lines, bad = [COLUMNS.format(*HEADINGS, "test s", "").rstrip()], 0
    for cell in cells(chosen):
        print(f"{cell.name}: its log is {chosen.logs / cell.name}.log", flush=True)
        try:
            archive = base(cell.system, chosen.cache, anew=chosen.anew)
        except UnavailableError as error:
            print(f"tests/fresh: {error}", file=sys.stderr)
            return 2
        result = cell.run(archive, chosen.logs / f"{cell.name}.log")
        bad += not result.good
        lines.append(line(cell, result))
        print(lines[-1], flush=True)
        chosen.anew = False
    print("", *lines, sep="\n")
    return min(bad, 1)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
