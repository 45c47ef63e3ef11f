"""Sorting: rows in ipvsadm's order, with its flaw. Pure.

ipvsadm compares numbers by the sign of a 32-bit difference, so that of two addresses more than half
the address space apart the larger comes first (192.168.0.1 before 10.0.0.1), and three such may
form a circle. What then comes out depends on the sorting itself: it is the C library's merge sort.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..endpoints import Address
from ..table import ServerRow, ServiceRow

TYPE_CHECKING = False  # as in typing, whose import would take a quick command's time
if TYPE_CHECKING:
    from typing import TypeVar

    _Row = TypeVar("_Row")
_Numbers = tuple[int, ...]

_PROTOCOLS = {"fwm": 0, "tcp": 6, "udp": 17, "sctp": 132}
_FAMILIES = {4: 2, 6: 10}


def services(rows: Sequence[ServiceRow]) -> list[ServiceRow]:
    """By mark, family, protocol, address, port."""
    return _sorted(rows, _service_numbers)


def servers(rows: Sequence[ServerRow]) -> list[ServerRow]:
    """By address and port."""
    return _sorted(rows, _server_numbers)


def _service_numbers(row: ServiceRow) -> _Numbers:
    key = row.service.key
    mark, address = 0, _words(key.address)
    if key.protocol == "fwm":
        mark, address = int(key.address), (0,) * len(address)
    return (mark, _FAMILIES[key.address.version], _PROTOCOLS[key.protocol], *address, key.port)


def _server_numbers(row: ServerRow) -> _Numbers:
    address = row.server.address
    return (_FAMILIES[address.version], *_words(address), row.server.port)


def _words(address: Address) -> _Numbers:
    whole = int(address)
    if address.version == 4:
        return (whole,)
    return tuple(whole >> shift & 0xFFFFFFFF for shift in (96, 64, 32, 0))


def _sorted(rows: Sequence[_Row], numbers_of: Callable[[_Row], _Numbers]) -> list[_Row]:
    keyed = [(numbers_of(row), row) for row in rows]
    if _is_plain([numbers for numbers, _ in keyed]):
        return [row for _, row in sorted(keyed, key=lambda pair: pair[0])]
    return [row for _, row in _merge_sorted(keyed)]


def _is_plain(keys: Sequence[_Numbers]) -> bool:
    """Whether no two numbers of one place are far enough apart to be taken the wrong way round."""
    if len({len(key) for key in keys}) > 1:
        return False
    return all(max(column) - min(column) < 2**31 for column in zip(*keys, strict=True))


def _merge_sorted(keyed: Sequence[tuple[_Numbers, _Row]]) -> list[tuple[_Numbers, _Row]]:
    """As glibc's qsort: halves, the first the smaller one; of equals the left one first."""
    if len(keyed) < 2:
        return list(keyed)
    half = len(keyed) // 2
    left, right = _merge_sorted(keyed[:half]), _merge_sorted(keyed[half:])
    merged, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        if _difference(left[i][0], right[j][0]) <= 0:
            merged.append(left[i])
            i += 1
        else:
            merged.append(right[j])
            j += 1
    return merged + left[i:] + right[j:]


def _difference(first: _Numbers, second: _Numbers) -> int:
    """Of the first numbers that differ, as a signed 32-bit integer."""
    for one, other in zip(first, second, strict=False):
        if one != other:
            return (one - other + 2**31) % 2**32 - 2**31
    return 0
