"""Stories by chance: what an operator and clients do to a table. Pure: a seed makes a story."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

Step = dict[str, Any]

SCHEDULERS = ["rr", "wrr", "lc", "wlc", "sed", "nq", "sh", "dh", "mh", "fo", "ovf", "lblc", "lblcr"]
SYSCTLS = {
    "conn_reuse_mode": (0, 1, 1, 1, 2, 3),
    "expire_nodest_conn": (0, 0, 1),
    "expire_quiescent_template": (0, 0, 1),
    "sloppy_tcp": (0, 0, 0, 1),
}
WEIGHTS = (0, 1, 1, 1, 2, 3, 5, 10)
STRAY = ("A", "FA", "R", "RA", "PA+18", "S", "SE", "", "SA")
"""Flags of a packet that no connection need belong to."""


@dataclass
class _Service:
    option: str
    address: str
    target: str
    servers: set[int] = field(default_factory=set)

    @property
    def is_udp(self) -> bool:
        return self.option == "-u"


class _Traffic:
    """Services that change while clients come and go."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._is_ipv6 = self._chance.random() < 0.2
        self._services: list[_Service] = []
        self._clients: list[str] = []
        self.steps: list[Step] = []

    def tell(self) -> None:
        chance = self._chance
        for name, values in SYSCTLS.items():
            if chance.random() < 0.5:
                self._do(f"sysctl -w net.ipv4.vs.{name}={chance.choice(values)}")
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            self._add_service()
        for service in self._services:
            for number in chance.sample(range(1, 6), chance.randint(1, 5)):
                self._server("-a", service, number)
        for _ in range(chance.randint(6, 16)):
            self._happen(chance.choice(self._services))
        self._do("ipvsadm -Ln")
        self._look()

    def _do(self, line: str) -> None:
        self.steps.append({"do": line})

    def _look(self) -> None:
        self.steps.append({"do": "ipvsadm -Lnc", "sorted": []})

    # ---- The table ----

    def _vip(self, number: int) -> str:
        return f"[fd00:9::10{number}]" if self._is_ipv6 else f"10.9.0.10{number}"

    def _settings(self, *, udp: bool) -> str:
        chance = self._chance
        scheduler = chance.choice(SCHEDULERS)
        words = f"-s {scheduler}"
        if scheduler in ("sh", "mh") and chance.random() < 0.6:
            flags = [f"{scheduler}-port", f"{scheduler}-fallback"]
            words += " -b " + ",".join(chance.sample(flags, chance.choice((1, 2))))
        if chance.random() < 0.3:
            words += f" -p {chance.choice((60, 360, 3600))}"
            if chance.random() < 0.4:
                ipv4 = ("255.255.255.0", "255.255.0.0", "255.255.255.255")
                words += f" -M {chance.choice((64, 112, 128) if self._is_ipv6 else ipv4)}"
        if udp and chance.random() < 0.1:
            words += " -o"
        return words

    def _add_service(self) -> None:
        udp = self._chance.random() < 0.25
        settings, number = self._settings(udp=udp), len(self._services)
        port = 53 if udp else 80
        any_port = " -p " in settings and self._chance.random() < 0.25
        address = f"{self._vip(number)}:{0 if any_port else port}"
        service = _Service("-u" if udp else "-t", address, f"{self._vip(number)}:{port}")
        self._services.append(service)
        self._do(f"ipvsadm -A {service.option} {address} {settings}")

    def _server(self, verb: str, service: _Service, number: int) -> None:
        chance = self._chance
        host = f"[fd00:9::1{number}]" if self._is_ipv6 else f"10.9.0.1{number}"
        line = f"ipvsadm {verb} {service.option} {service.address} -r {host}:0"
        if verb == "-d":
            service.servers.discard(number)
            self._do(line)
            return
        line += f" -g -w {chance.choice(WEIGHTS)}"
        if chance.random() < 0.15:
            line += f" -x {chance.randint(1, 6)}"
            if chance.random() < 0.5:
                line += f" -y {chance.randint(1, 3)}"
        service.servers.add(number)
        self._do(line)

    # ---- Clients ----

    def _client(self) -> str:
        chance = self._chance
        if self._clients and chance.random() < 0.35:
            return chance.choice(self._clients)
        host = f"10.1.{chance.randint(0, 3)}.{chance.randint(1, 250)}"
        if self._is_ipv6:
            host = f"[fd00:1::{chance.randint(1, 4000):x}]"
        if self._clients and chance.random() < 0.3:
            host = chance.choice(self._clients).rpartition(":")[0]
        self._clients.append(f"{host}:{chance.randint(1024, 60000)}")
        return self._clients[-1]

    def _packets(self, service: _Service) -> None:
        rows = []
        for _ in range(self._chance.randint(3, 25)):
            kinds = ("S", "S A", "S A FA", self._chance.choice(STRAY))
            kind = self._chance.choices(kinds, weights=(5, 3, 1, 1))[0]
            client = self._client()
            flags = [""] if service.is_udp else kind.split() or [""]
            rows += [[each, client] for each in flags]
        proto = "udp" if service.is_udp else "tcp"
        self.steps.append(
            {
                "do": "packets",
                "proto": proto,
                "dst": service.target,
                "cols": ["flags", "src", "got"],
                "rows": rows,
            }
        )

    def _happen(self, service: _Service) -> None:
        chance = self._chance
        number = chance.choice(sorted(service.servers) or [1])
        what = chance.choices(
            ("packets", "add", "edit", "remove", "edit service", "again", "list"),
            weights=(55, 10, 10, 7, 5, 3, 10),
        )[0]
        if what == "packets":
            self._packets(service)
        elif what == "add":
            self._server("-a", service, chance.randint(1, 5))
        elif what == "edit":
            self._server("-e", service, number)
        elif what == "remove":
            self._server("-d", service, number)
        elif what == "edit service":
            settings = self._settings(udp=service.is_udp)
            self._do(f"ipvsadm -E {service.option} {service.address} {settings}")
        elif what == "again":
            persistent = " -p" if service.address.endswith(":0") else ""
            self._do(f"ipvsadm -D {service.option} {service.address}")
            self._do(f"ipvsadm -A {service.option} {service.address} -s wrr{persistent}")
            service.servers.clear()
        else:
            views = ("-Sn", "-Ln", "-Ln --persistent-conn", "-Ln --thresholds")
            self._do(f"ipvsadm {chance.choice(views)}")
        if chance.random() < 0.3:
            self._look()


def traffic(seed: int) -> dict[str, Any]:
    """Services, servers and packets."""
    told = _Traffic(seed)
    told.tell()
    return {"scenario": f"traffic-{seed}", "about": "by chance", "steps": told.steps}
