"""Picture: the lab in plain characters, for people. Text in, text out."""

from __future__ import annotations

from itertools import zip_longest

from dr_forwarder.lab.topology import Host, Topology

_GAP = 3


def draw(topology: Topology) -> str:
    """Draw everybody on the bridge, with addresses and MACs."""
    columns = [_column(host, topology) for host in topology.hosts]
    width = max(len(line) for column in columns for line in column) + _GAP
    rows = zip_longest(*columns, fillvalue="")
    lines = ["".join(cell.ljust(width) for cell in row).rstrip() for row in rows]
    count = len(columns)
    lines.append("".join("  |".ljust(width) for _ in range(count)).rstrip())
    wire = "".join("--+".ljust(width, "-") for _ in range(count))
    lines.append(wire.rstrip("-") + "--  br0")
    return "\n".join(lines)


def _column(host: Host, topology: Topology) -> list[str]:
    lines = [host.name, *(str(interface) for interface in host.interfaces), host.mac]
    if host in topology.servers:
        lines += [f"lo: {vip}/{vip.max_prefixlen}" for vip in topology.vips]
    return lines
