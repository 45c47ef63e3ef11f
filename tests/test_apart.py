"""Checks in processes of their own: what a hostile answer does to them, and to nobody else."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from servers import Handler, hanging, http_target, serving
from test_services import service_target

from dr_forwarder.checks import Result, Target, run
from dr_forwarder.checks.apart import Apart
from dr_forwarder.checks.confinement import DATA_BYTES
from dr_forwarder.checks.receive import found
from dr_forwarder.config.model import CheckType

AMPLE_S = 60.0


async def zeros(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Oracle's library never comes to an end with them, and takes all memory on its way."""
    await reader.read(1)
    writer.write(bytes(8))
    await reader.read()


async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A TNS packet that refuses, and what a listener says."""
    await reader.read(1)
    text = b"(DESCRIPTION=(ERR=12514))"
    body = b"\x22\x00" + len(text).to_bytes(2) + text
    writer.write((len(body) + 8).to_bytes(2) + b"\0\0\x04\0\0\0" + body)
    await reader.read()


async def flooding_pgsql(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One message of 2 GiB, as long as somebody takes it."""
    await reader.read(8)
    writer.write(b"N")
    await reader.read(1)
    writer.write(b"R\x7f\xff\xff\xff")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


def asked(service: str, port: int) -> Target:
    return service_target(service, port, address="127.0.0.1")


Use = Callable[[Apart], Awaitable[None]]


def with_apart(use: Use, **options: object) -> None:
    async def once() -> None:
        async with Apart(**options) as apart:  # type: ignore[arg-type]
            await use(apart)

    asyncio.run(once())


def children() -> set[int]:
    return {
        int(each) for each in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    }


def status_of(process: int | str) -> dict[str, str]:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before, descriptors = children(), len(os.listdir("/proc/self/fd"))
    yield
    assert children() <= before
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 1  # the event loop's own may come


HOSTILE: list[tuple[str, Handler, str]] = [
    ("oracle", zeros, "the answer "),
    ("pgsql", flooding_pgsql, f"the answer takes more than {DATA_BYTES >> 20} MiB"),
]


@pytest.mark.parametrize(("service", "handler", "reason"), HOSTILE)
def test_a_server_whose_answer_ends_the_worker_is_down(
    service: str, handler: Handler, reason: str
) -> None:
    async def use(apart: Apart) -> None:
        async with serving(handler) as port:
            result = await run(asked(service, port), limit_s=AMPLE_S, apart=apart)
            assert (result.passed, result.reason.startswith(reason)) == (False, True), result

    with_apart(use)


def test_the_event_loop_turns_while_a_library_does_not() -> None:
    gaps: list[float] = []

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await asyncio.sleep(0.01)
            last, gap = loop.time(), loop.time() - last
            gaps.append(gap)

    async def use(apart: Apart) -> None:
        watching = asyncio.create_task(watch())
        async with serving(zeros) as port:
            await run(asked("oracle", port), limit_s=AMPLE_S, apart=apart)
        watching.cancel()

    with_apart(use)
    assert sorted(gaps)[len(gaps) // 2] < 0.2


def test_who_was_beside_a_hostile_server_has_not_failed_and_is_told_apart() -> None:
    async def use(apart: Apart) -> None:
        async with serving(zeros) as bad, serving(refusing) as good:
            targets = [asked("oracle", port) for port in (bad, good, good + 1)]
            targets[2] = replace(targets[1], check=replace(targets[1].check, login="other"))

            async def together() -> list[Result]:
                limited = (run(each, limit_s=AMPLE_S, apart=apart) for each in targets)
                return await asyncio.gather(*limited)

            # So that all three are under way when the first answer comes.
            await run(targets[1], limit_s=AMPLE_S, apart=apart)
            slow = asyncio.create_task(together())
            first = await slow
            assert first[0].passed is None or "the answer" in first[0].reason
            second = await together()
            assert second[0].passed is False
            assert "the answer" in second[0].reason
            for each in second[1:]:
                assert each.passed is False
                assert "12514" in each.reason or "listener" in each.reason, each

    with_apart(use)


def test_checks_that_hang_beside_a_library_that_loops_are_no_failures() -> None:
    async def use(apart: Apart) -> None:
        async with serving(zeros) as bad, serving(hanging) as slow:
            targets = [asked("oracle", slow), asked("oracle", bad)]
            targets += [
                replace(targets[0], check=replace(targets[0].check, login=f"{n}")) for n in "ab"
            ]
            found = await asyncio.gather(
                *(run(each, limit_s=AMPLE_S, apart=apart) for each in targets)
            )
            assert [each.passed for each in found] == [None] * 4
            assert {each.reason.split(":")[0] for each in found} == {
                "one of several servers ended the process that checks oracle"
            }

    with_apart(use)


def test_servers_that_hang_hold_up_no_other() -> None:
    async def use(apart: Apart) -> None:
        async with serving(hanging) as slow, serving(refusing) as good:
            await run(asked("oracle", good), limit_s=AMPLE_S, apart=apart)
            first = asked("oracle", slow)
            many = [replace(first, check=replace(first.check, login=str(n))) for n in range(100)]
            waiting = [
                asyncio.create_task(run(each, limit_s=AMPLE_S, apart=apart)) for each in many
            ]
            await asyncio.sleep(0)
            result = await run(asked("oracle", good), limit_s=AMPLE_S, apart=apart)
            assert result.passed is False
            assert "answer within" not in result.reason
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
            assert len(children()) <= 3  # for all hundred

    with_apart(use)


def test_a_server_that_hangs_is_down_at_its_limit_once_the_worker_is_there() -> None:
    async def use(apart: Apart) -> None:
        async with serving(hanging) as port, serving(refusing) as good:
            await run(asked("oracle", good), limit_s=AMPLE_S, apart=apart)
            result = await run(asked("oracle", port), limit_s=0.3, apart=apart)
            assert (result.passed, result.reason) == (False, "no answer within 0.3 s")

    with_apart(use)


def test_a_worker_that_has_not_started_yet_is_no_failure() -> None:
    async def use(apart: Apart) -> None:
        async with serving(hanging) as port:
            result = await run(asked("oracle", port), limit_s=0.001, apart=apart)
            assert result.passed is None
            assert result.reason == "the process that checks oracle has not started yet"

    with_apart(use)


def test_a_process_that_looks_for_expressions_ends_with_the_workers() -> None:
    before = children()

    async def use(apart: Apart) -> None:
        assert await found("a+b", b"a" * 10_000 + b"b")
        assert len(children() - before) == 1

    with_apart(use)
    assert children() <= before  # those of an earlier event loop have ended too


def test_a_worker_that_cannot_be_started_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    async def use(apart: Apart) -> None:
        monkeypatch.setattr(subprocess, "Popen", refuse)
        for _ in range(2):
            result = await run(asked("oracle", 1), limit_s=AMPLE_S, apart=apart)
            assert result.passed is None
            assert result.reason == (
                "no process can be started that checks oracle: resource temporarily unavailable"
            )

    with_apart(use)


def test_a_worker_that_somebody_kills_is_no_failure_and_is_replaced() -> None:
    async def use(apart: Apart) -> None:
        async with serving(hanging) as slow, serving(refusing) as good:
            before = children()
            await run(asked("oracle", good), limit_s=AMPLE_S, apart=apart)
            (worker,) = children() - before
            waiting = asyncio.create_task(run(asked("oracle", slow), limit_s=AMPLE_S, apart=apart))
            await asyncio.sleep(0)
            os.kill(worker, signal.SIGKILL)
            assert (await waiting).passed is None
            again = await run(asked("oracle", good), limit_s=AMPLE_S, apart=apart)
            assert again.passed is False

    with_apart(use)


def test_a_worker_has_no_capabilities_and_no_descriptors() -> None:
    async def use(apart: Apart) -> None:
        before = children()
        async with serving(refusing) as port:
            await run(asked("oracle", port), limit_s=AMPLE_S, apart=apart)
        (worker,) = children() - before
        status = status_of(worker)
        assert {status[f"Cap{each}"] for each in ("Inh", "Prm", "Eff", "Amb")} == {"0" * 16}
        assert status["NoNewPrivs"] == "1"
        # The standard three, our socket, and the event loop's own, which with Python 3.14 are four.
        assert len(os.listdir(f"/proc/{worker}/fd")) <= 8

    with_apart(use)


def is_running(process: int) -> bool:
    try:
        return status_of(process)["State"][0] not in "ZX"
    except FileNotFoundError:
        return False


def external(command: str) -> Target:
    return http_target(0, type=CheckType.EXTERNAL, command=command)


LEAVERS = [
    pytest.param("exit 0", 30.0, True, id="ends before them"),
    pytest.param("wait", 1.0, False, id="is ended with them"),
]


@pytest.mark.parametrize(("then", "limit_s", "passed"), LEAVERS)
def test_what_programs_leave_behind_is_ended(
    then: str, limit_s: float, passed: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    script = tmp_path / "check"
    numbers = tmp_path / "numbers"
    left = f"sh -c 'echo $$ >>{numbers}; exec sleep 300'"
    script.write_text(f"#!/bin/sh\nsetsid {left} & {left} & (setsid {left} &)\n{then}\n")
    script.chmod(0o755)

    async def use(apart: Apart) -> None:
        results = [await run(external(str(script)), limit_s=limit_s, apart=apart) for _ in range(3)]
        assert [each.passed for each in results] == [passed] * 3, results
        async with asyncio.timeout(AMPLE_S):
            while len(numbers.read_text().split()) < 9 or any(  # noqa: ASYNC110
                map(is_running, map(int, numbers.read_text().split()))
            ):
                await asyncio.sleep(0.05)

    with_apart(use)
    assert "check commands left" in caplog.text


def test_nothing_of_a_program_is_left_when_the_director_ends(tmp_path: Path) -> None:
    numbers = tmp_path / "numbers"
    command = f"/bin/sh -c 'echo $$ >{numbers}.new; mv {numbers}.new {numbers}; setsid sleep 300'"

    async def use(apart: Apart) -> None:
        running = asyncio.create_task(run(external(command), limit_s=AMPLE_S, apart=apart))
        async with asyncio.timeout(AMPLE_S):
            while not numbers.exists():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        running.cancel()

    with_apart(use)
    assert not is_running(int(numbers.read_text()))


def test_a_program_is_found_from_where_the_director_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"check-{os.getpid()}"  # the root has none of this name
    path.write_text("exit 0\n")
    path.chmod(0o755)
    monkeypatch.chdir(tmp_path)

    async def use(apart: Apart) -> None:
        assert (await run(external(f"./{path.name}"), limit_s=AMPLE_S, apart=apart)).passed

    with_apart(use)


def test_programs_are_run_by_a_worker_with_all_that_the_director_may(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    target = http_target(
        0, type=CheckType.EXTERNAL, command=f"/bin/sh -c 'grep ^Cap /proc/self/status >{seen}'"
    )

    async def use(apart: Apart) -> None:
        result = await run(target, limit_s=AMPLE_S, apart=apart)
        assert (result.passed, result.reason) == (True, "exit status 0")

    with_apart(use)
    ours = [
        line for line in Path("/proc/self/status").read_text().splitlines() if line[:3] == "Cap"
    ]
    assert seen.read_text().splitlines() == ours
