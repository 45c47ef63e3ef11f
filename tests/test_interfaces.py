"""Interfaces: what can be asked without a network; the rest is tried in the lab."""

from __future__ import annotations

from pathlib import Path

import pytest

from dr_forwarder.interfaces import is_forwarding

SYSCTLS = [
    pytest.param("1\n", True, id="on"),
    pytest.param("0\n", False, id="off"),
    pytest.param("1", True, id="no newline"),
]


def proc(root: Path, *, version: int = 4, **forwarding: str) -> Path:
    """A tree like /proc/sys/net."""
    for interface, value in forwarding.items():
        where = root / f"ipv{version}" / "conf" / interface
        where.mkdir(parents=True)
        (where / "forwarding").write_text(value)
    return root


@pytest.mark.parametrize(("value", "expected"), SYSCTLS)
def test_forwarding_is_what_the_sysctl_says(tmp_path: Path, value: str, expected: bool) -> None:
    assert is_forwarding("eth0", proc=proc(tmp_path, eth0=value)) is expected


def test_the_interfaces_own_switch_counts(tmp_path: Path) -> None:
    tree = proc(tmp_path, all="1\n", default="1\n", eth0="0\n", eth1="1\n")
    assert not is_forwarding("eth0", proc=tree)
    assert is_forwarding("eth1", proc=tree)


@pytest.mark.parametrize(("value", "expected"), SYSCTLS)
def test_for_ipv6_the_switch_of_all_interfaces_counts(
    tmp_path: Path, value: str, expected: bool
) -> None:
    tree = proc(tmp_path, version=6, all=value, eth0="0\n", eth1="1\n")
    assert is_forwarding("eth0", version=6, proc=tree) is expected
    assert is_forwarding("eth1", version=6, proc=tree) is expected


def test_the_families_are_told_apart(tmp_path: Path) -> None:
    proc(tmp_path, version=4, all="1\n", eth0="1\n")
    proc(tmp_path, version=6, all="0\n", eth0="1\n")
    assert is_forwarding("eth0", version=4, proc=tmp_path)
    assert not is_forwarding("eth0", version=6, proc=tmp_path)


def test_an_interface_that_is_not_there_forwards_nothing(tmp_path: Path) -> None:
    assert not is_forwarding("eth0", proc=proc(tmp_path, eth1="1\n"))


def test_a_host_without_the_sysctl_forwards_nothing(tmp_path: Path) -> None:
    assert not is_forwarding("eth0", proc=tmp_path)
    assert not is_forwarding("eth0", version=6, proc=tmp_path)


def test_this_host_can_be_asked() -> None:
    assert is_forwarding("lo") in (True, False)
    assert is_forwarding("lo", version=6) in (True, False)
