"""Sysctls: what each kind of host sets, as data."""

from __future__ import annotations

Settings = tuple[tuple[str, int], ...]

# A new namespace copies the host's IPv4 settings (net.core.devconf_inherit_init_net), so a lab on
# a router or a container host would differ from one elsewhere.
AS_BOOTED: Settings = (
    ("net.ipv4.ip_forward", 0),
    *(
        (f"net.ipv4.conf.{scope}.{name}", value)
        for scope in ("all", "default")
        for name, value in (
            ("rp_filter", 0),
            ("arp_ignore", 0),
            ("arp_announce", 0),
            ("arp_filter", 0),
            ("accept_local", 0),
            ("send_redirects", 1),
        )
    ),
)

# Before the first interface: router solicitations and the like would blur a trace.
NO_IPV6: Settings = (
    ("net.ipv6.conf.all.disable_ipv6", 1),
    ("net.ipv6.conf.default.disable_ipv6", 1),
)

# A real server must not answer, nor announce, the address it shares (docs: "the ARP problem").
REAL_SERVER: Settings = tuple(
    (f"net.ipv4.conf.{scope}.{name}", value)
    for scope in ("all", "eth0")
    for name, value in (("arp_ignore", 1), ("arp_announce", 2))
)
