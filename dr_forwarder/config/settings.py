"""Settings: what the director itself is told, as frozen data. No parsing, no I/O."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path

from ..daemons import SyncDaemon
from ..listen import Listen
from ..vlan import UNTAGGED, Vlan


class MacMode(enum.Enum):
    """Which MAC address the VIPs are announced with."""

    AUTO = "auto"
    VIRTUAL = "virtual"
    NIC = "nic"


class IoMode(enum.Enum):
    """By which sockets frames come in and go out."""

    AUTO = "auto"
    """AF_XDP where the device itself reads and writes its memory, else packet sockets."""
    PACKET = "packet"
    XDP = "xdp"
    """The VIPs' frames by AF_XDP, all others by packet sockets."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What is a sysctl under net.ipv4.vs in kernel IPVS, with its name and default."""

    conn_reuse_mode: int = 1
    expire_nodest_conn: int = 0
    expire_quiescent_template: int = 0
    sloppy_tcp: int = 0
    sloppy_sctp: int = 0
    schedule_icmp: int = 0
    secure_tcp: int = 0
    drop_entry: int = 0
    drop_packet: int = 0
    am_droprate: int = 10
    amemthresh: int = 1024
    """Pages."""
    unproved_share: int = 50
    """Ours, not the kernel's: percent of the table; 0: nothing is displaced."""
    backup_only: int = 0
    lblc_expiration: int = 86400
    """Seconds."""
    lblcr_expiration: int = 86400
    run_estimation: int = 1
    decrement_ttl: int = 0
    """Ours, not the kernel's: 1 takes one off a packet's time to live, as kernel IPVS does."""
    icmp_ratelimit: int = 1000
    """net.ipv4.icmp_ratelimit, ms; 0: no limit."""
    busy_poll: int = 0
    """As net.core.busy_poll, microseconds: for so long after a frame the loop does not sleep."""
    sync_version: int = 1
    sync_persist_mode: int = 0
    sync_retries: int = 0
    sync_ports: int = 1
    """A power of two."""
    sync_threshold: int = 3
    sync_period: int = 50
    """The second number of the sysctl sync_threshold; 0, or more than the first."""
    sync_refresh_period: int = 0
    """Seconds."""
    sync_qlen_max: int = 4096
    """Messages; the kernel takes a part of its memory."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the director itself is told: native keys, absent from ldirectord's grammar."""

    interface: str | None = None
    """None: the one interface that all real servers are on-link through."""
    interface_wait_s: int = 60
    """So long a start or a reload waits for the interface to be there, up and with its address."""
    mac: MacMode = MacMode.AUTO
    vlan: Vlan = UNTAGGED
    """The tags of all frames of this director, on its interface."""
    virtual_router_id: int = 60
    """Last byte of the virtual MAC 00:00:5e:00:01:xx (RFC 9568 section 7.3); 1..255."""
    announce_interval_s: int = 60
    io: IoMode = IoMode.PACKET
    workers: int = 1
    realtime: bool = False
    """Whether forwarding goes before all other programs, and the kernel's threads for packets."""
    state_dir: Path | None = None
    listen: Listen | None = None
    """Where metrics and the page are served; None: nowhere."""
    listen_writable: bool = False
    """Whether the page may drain, disable and enable servers."""
    listen_names: tuple[str, ...] = ()
    """Names that the page may be asked by, beside addresses and the host's own."""
    flight_recorder_dir: Path | None = None
    """Where the last dropped frames are written when a server goes down; None: nowhere."""
    connections: int = 1_048_576
    """Room in the connection table; 64 bytes and an index word each, touched only when used."""
    timeout_tcp_s: int = 900
    timeout_tcp_fin_s: int = 120
    timeout_udp_s: int = 300
    tuning: Tuning = field(default_factory=Tuning)
    peers: tuple[bytes, ...] = ()
    """MAC addresses that other directors send from."""
    standby: bool = False
    """Begins without the VIPs, until it is told to take over."""
    daemons: tuple[SyncDaemon, ...] = ()
    """Of synchronisation, that run from the start."""
    sync_sock_size: int = 0
    """Bytes of their sockets' buffers; 0: as the host has it."""
