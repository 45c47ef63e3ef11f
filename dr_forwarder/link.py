"""Link: what became of an interface, told by two looks at it. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from .events import LinkEvent, LinkStep
from .interfaces import Interface
from .link_state import LinkState

ANNOUNCED: Final = frozenset({LinkStep.FOUND, LinkStep.UP, LinkStep.MOVED, LinkStep.MAC})
"""After these the network does not know any more which way the VIPs are."""
CHECKED: Final = frozenset({LinkStep.FOUND, LinkStep.UP, LinkStep.ADDRESSES})
"""After these checks that failed may pass."""


@dataclass(frozen=True, slots=True)
class Link:
    """An interface as it was seen, with its ports if it is a bond or a bridge."""

    interface: Interface
    ports: frozenset[tuple[int, int]] = frozenset()
    """Of those that can be used: the index, and how often the carrier came and went."""


def state_of(name: str, link: Link | None, *, hindrance: str | None, changes: int) -> LinkState:
    """As it was seen last."""
    if link is None:
        return LinkState(name, "gone", hindrance=hindrance, changes=changes)
    now = link.interface
    state = "up" if now.usable else "down"
    return LinkState(now.name, state, now.mac.hex(":"), now.mtu, hindrance, changes)


def find(present: Collection[Interface], *, index: int, name: str) -> Link | None:
    """The interface, by its index while that lives, else by its name; None: there is none."""
    by_index = [each for each in present if each.index == index]
    by_name = [each for each in present if each.name == name]
    for found in (*by_index, *by_name):
        ports = (each for each in present if each.master == found.index and each.usable)
        return Link(found, frozenset((each.index, each.flaps) for each in ports))
    return None


def changes(name: str, before: Link | None, after: Link | None) -> tuple[LinkEvent, ...]:
    """What happened to the interface of this name between two looks, in a sensible order."""
    if after is None:
        return () if before is None else (LinkEvent(LinkStep.GONE, name),)
    now = after.interface
    if before is None or before.interface.index != now.index:
        found = LinkEvent(LinkStep.FOUND, now.name, f"index {now.index}, MAC {now.mac.hex(':')}")
        return (found,) if now.usable else (found, LinkEvent(LinkStep.DOWN, now.name, _why(now)))
    return tuple(_changes(before, after))


def _changes(before: Link, after: Link) -> Iterator[LinkEvent]:
    then, now = before.interface, after.interface
    if then.name != now.name:
        yield LinkEvent(LinkStep.RENAMED, now.name, f"it was {then.name}")
    if then.mac != now.mac:
        yield LinkEvent(LinkStep.MAC, now.name, f"{now.mac.hex(':')}, it was {then.mac.hex(':')}")
    if then.mtu != now.mtu:
        yield LinkEvent(LinkStep.MTU, now.name, f"{now.mtu}, it was {then.mtu}")
    if _own(then) != _own(now):
        yield LinkEvent(LinkStep.ADDRESSES, now.name, ", ".join(map(str, _own(now))) or "none")
    if not now.usable and then.usable:
        yield LinkEvent(LinkStep.DOWN, now.name, _why(now) + _lost(then, now))
    elif now.usable and not then.usable:
        yield LinkEvent(LinkStep.UP, now.name)
    elif now.usable and then.flaps != now.flaps:
        yield LinkEvent(LinkStep.MOVED, now.name, "the carrier was lost for a moment")
    elif now.usable and after.ports - before.ports:
        yield LinkEvent(LinkStep.MOVED, now.name, "one of its ports came up")


def _own(interface: Interface) -> list[str]:
    """What can be sent from beyond the link; as text, for two kinds of them are to be sorted."""
    unfit = {*interface.tentative, *(each for each in interface.addresses if each.is_link_local)}
    return sorted(str(each) for each in interface.addresses if each not in unfit)


def _why(interface: Interface) -> str:
    return "no carrier" if interface.up else "set down"


def _lost(then: Interface, now: Interface) -> str:
    """Linux takes IPv6 addresses off an interface that is set down, and puts none back."""
    lost = {each for each in then.addresses if each.version == 6 and not each.is_link_local}
    lost -= {*now.addresses}
    if not lost:
        return ""
    return (
        f"; with it went {', '.join(sorted(map(str, lost)))}; to keep addresses the next time:"
        f" sysctl -w net.ipv6.conf.{now.name.replace('.', '/')}.keep_addr_on_down=1"
    )
