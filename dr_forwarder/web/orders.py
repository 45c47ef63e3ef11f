"""Orders: what the page's buttons ask for."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from .. import messages
from ..draining import Draining
from ..endpoints import Address
from ..orders import DEADLINE_S
from ..table import Key

VERBS = ("drain", "disable", "enable")


@dataclass(frozen=True, slots=True)
class Asked:
    """An order about one server of one service."""

    verb: str
    service: Key
    server: Address

    @classmethod
    def of(cls, said: Any) -> Asked:
        """Reads the body of a request; raises ValueError."""
        match said:
            case {
                "order": str(verb),
                "service": {"protocol": str(), "address": str(), "port": int()} as service,
                "server": str(server),
            } if verb in VERBS:
                return cls(verb, messages.key(service), ip_address(server))
        raise ValueError(f"must be an order ({', '.join(VERBS)}), a service and a server")


def obey(draining: Draining, asked: Asked) -> None:
    """Does it; raises ValueError for a server that is not there, OSError if it cannot be kept."""
    members = draining.members(asked.service, asked.server)
    if not members:
        raise ValueError(f"{asked.service} has no server {asked.server}")
    if asked.verb == "enable":
        draining.enable(members)
    else:
        draining.drain(members, deadline_s=DEADLINE_S if asked.verb == "drain" else 0)
