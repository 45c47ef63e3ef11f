"""The core alone: nanoseconds an operation. Each round is a million operations inside C."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.programs import compile_core

MILLION = 1_000_000  # a multiple of 64
ROUNDS = 5

Core = ctypes.c_void_p


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(compile_core(tmp_path_factory.mktemp("core"))))
    loaded.core_new.restype = Core
    loaded.core_new.argtypes = (ctypes.c_uint32, ctypes.c_char_p, ctypes.c_uint32)
    loaded.core_free.argtypes = (Core,)
    loaded.core_parse.argtypes = (Core, ctypes.c_uint32)
    loaded.core_insert.argtypes = (Core, ctypes.c_uint32)
    loaded.core_hit.argtypes = (Core, ctypes.c_uint32, ctypes.c_uint32)
    loaded.core_hit_in_batches.argtypes = (Core, ctypes.c_uint32, ctypes.c_uint32)
    loaded.core_miss.argtypes = (Core, ctypes.c_uint32, ctypes.c_uint32)
    loaded.core_expire.argtypes = (Core,)
    return loaded


@contextmanager
def core(library: ctypes.CDLL, *, scheduler: str = "wrr", servers: int = 3) -> Iterator[Core]:
    made = Core(library.core_new(MILLION, scheduler.encode(), servers))
    try:
        yield made
    finally:
        library.core_free(made)


@contextmanager
def filled(library: ctypes.CDLL, flows: int) -> Iterator[Core]:
    with core(library) as made:
        assert library.core_insert(made, flows) == flows
        yield made


def test_parse(benchmark: BenchmarkFixture, library: ctypes.CDLL) -> None:
    with core(library) as made:
        fine = benchmark.pedantic(library.core_parse, (made, MILLION), rounds=ROUNDS)
    assert fine == MILLION


@pytest.mark.parametrize("flows", [1_000, 100_000, MILLION])
def test_frame_of_a_connection(
    benchmark: BenchmarkFixture, library: ctypes.CDLL, flows: int
) -> None:
    with filled(library, flows) as made:
        fine = benchmark.pedantic(library.core_hit, (made, MILLION, flows), rounds=ROUNDS)
    assert fine == MILLION


@pytest.mark.parametrize("flows", [1_000, 100_000, MILLION])
def test_frame_of_a_connection_in_batches(
    benchmark: BenchmarkFixture, library: ctypes.CDLL, flows: int
) -> None:
    """As the loop takes them, 64 at a time."""
    with filled(library, flows) as made:
        arguments = (made, MILLION, flows)
        fine = benchmark.pedantic(library.core_hit_in_batches, arguments, rounds=ROUNDS)
    assert fine == MILLION


def test_frame_of_no_connection(benchmark: BenchmarkFixture, library: ctypes.CDLL) -> None:
    flows = 100_000
    with filled(library, flows) as made:
        fine = benchmark.pedantic(library.core_miss, (made, MILLION, flows), rounds=ROUNDS)
    assert fine == MILLION


@pytest.mark.parametrize("servers", [2, 100])
@pytest.mark.parametrize("scheduler", ["rr", "wrr", "wlc"])
def test_new_connection(
    benchmark: BenchmarkFixture, library: ctypes.CDLL, scheduler: str, servers: int
) -> None:
    with core(library, scheduler=scheduler, servers=servers) as made:

        def empty() -> tuple[tuple[Core, int], dict[str, object]]:
            library.core_expire(made)
            return (made, MILLION), {}

        fine = benchmark.pedantic(library.core_insert, setup=empty, rounds=ROUNDS)
    assert fine == MILLION


def test_expiry(benchmark: BenchmarkFixture, library: ctypes.CDLL) -> None:
    with core(library) as made:

        def fill() -> tuple[tuple[Core], dict[str, object]]:
            library.core_insert(made, MILLION)
            return (made,), {}

        fine = benchmark.pedantic(library.core_expire, setup=fill, rounds=ROUNDS)
    assert fine == MILLION
