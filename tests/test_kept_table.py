"""What was set over the socket, in a file: written whole, read back the same, refused if broken."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_forwarder import kept_table
from dr_forwarder.errors import SetupError
from dr_forwarder.kept_table import Keeper
from dr_forwarder.orders import Order, undrained
from dr_forwarder.plan import Wanted
from dr_forwarder.table import Drain, Key, Server, ServerRow, Service, ServiceFlag, ServiceRow

VIP4, VIP6 = IPv4Address("10.0.0.100"), IPv6Address("2001:db8::100")
HOST_6 = IPv6Address((1 << 128) - 1)
TABLE = (
    ServiceRow(
        Service(Key("tcp", VIP4, 80), "sh", 300, IPv4Address("255.255.255.0"), ServiceFlag(8)),
        (
            ServerRow(Server(IPv4Address("10.0.0.12"), 80, 7, upper=100, lower=50)),
            ServerRow(Server(IPv4Address("10.0.0.11"), 80, 0)),
        ),
    ),
    ServiceRow(Service(Key("udp", VIP4, 53), "rr", flags=ServiceFlag.ONE_PACKET)),
    ServiceRow(
        Service(Key("fwm", IPv6Address(7), 0), "wrr", 50, mask=HOST_6),
        (ServerRow(Server(IPv6Address("2001:db8::11"), 8080)),),
    ),
    ServiceRow(Service(Key("sctp", VIP6, 9), "none", mask=HOST_6)),
)
TEXT = """\
--set 60 120 300
-A -t 10.0.0.100:80 -s sh -p 300 -M 255.255.255.0 -b sh-fallback
-a -t 10.0.0.100:80 -r 10.0.0.11:80 -g -w 0
-a -t 10.0.0.100:80 -r 10.0.0.12:80 -g -w 7 -x 100 -y 50
-A -u 10.0.0.100:53 -s rr -o
-A -f 7 -6 -s wrr -p 50
-a -f 7 -6 -r [2001:db8::11]:8080 -g -w 1
-A --sctp-service [2001:db8::100]:9 -s none
"""


def goal(rows: tuple[ServiceRow, ...]) -> tuple[Wanted, ...]:
    return tuple(
        Wanted(row.service, tuple(each.server for each in row.servers[::-1])) for row in rows
    )


def test_it_is_what_ipvsadm_saves_with_thresholds_and_timeouts() -> None:
    assert kept_table.text(TABLE, (60, 120, 300)) == TEXT
    assert kept_table.text(TABLE, None) == TEXT.partition("\n")[2]


def test_what_was_written_is_read_back() -> None:
    kept = kept_table.parse(TEXT, file="table")
    assert kept.goal == goal(TABLE)
    assert kept.timeouts == (60, 120, 300)


ports = st.integers(1, 65535)
servers = st.builds(
    Server,
    st.ip_addresses(v=4),
    ports,
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**31 - 1),
)


@settings(max_examples=60)
@given(st.lists(servers, unique_by=lambda server: server.address, max_size=5), ports)
def test_any_servers_are_read_back_in_their_order(of: list[Server], port: int) -> None:
    own = [replace(each, port=port) for each in of]
    rows = (ServiceRow(Service(Key("tcp", VIP4, port)), tuple(map(ServerRow, own))),)
    assert kept_table.parse(kept_table.text(rows, None), file="table").goal == goal(rows)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("-A -t 10.0.0.100", "Zero port specified for non-persistent service"),
        ("-a -t 10.0.0.100:80 -r 10.0.0.11:80 -w many", "illegal weight specified"),
        ("-a -t 10.0.0.100:80 -r 10.0.0.11:80 -m", "masquerading"),
        ("-C", "-C is none of -A, -a, --set"),
        ("rubbish", "rubbish is none of -A, -a, --set"),
    ],
)
def test_a_broken_line_is_told_with_its_number(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "table"
    path.write_text(f"-A -t 10.0.0.100:80 -s rr\n\n{line}\n")
    with pytest.raises(SetupError) as raised:
        kept_table.read(path)
    assert str(raised.value).startswith(f"{path}:3: ")
    assert reason in str(raised.value)


def test_all_broken_lines_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_bytes(
        b"-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:81 -r 10.0.0.11:81\n"
        b"-A -t 10.0.0.100:80 -s rr\n-A -t 10.0.0.1\xff0:80\n-A -t 10.0.0.100:8\x000\n"
    )
    with pytest.raises(SetupError) as raised:
        kept_table.read(path)
    assert str(raised.value) == (
        f"{path}:2: Service not defined\n"
        f"{path}:3: Service already exists\n"
        f"{path}:4: it has bytes in it that are no text\n"
        f"{path}:5: it has bytes in it that are no text; mend the line, or remove the file"
    )
    assert path.exists()


def test_a_directory_in_its_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="Is a directory; mend that, or start without --persist"):
        kept_table.read(tmp_path)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(TEXT) - 1), st.integers(0, 30), st.binary(max_size=6))
def test_a_damaged_file_is_read_or_refused(at: int, cut: int, put: bytes) -> None:
    raw = TEXT.encode()
    damaged = raw[:at] + put + raw[at + cut :]
    told = ""
    try:
        kept_table.parse(damaged.decode(errors="replace"), file="table")
    except SetupError as error:
        told = str(error)
    assert all(line.startswith("table:") for line in told.splitlines())


def test_no_file_is_an_empty_table(tmp_path: Path) -> None:
    assert kept_table.read(tmp_path / "table").goal == ()


def test_a_drained_server_is_kept_with_the_weight_that_it_gets_back() -> None:
    (row,) = (row for row in TABLE if row.service.key.port == 80)
    drained = replace(row.servers[0].server, weight=0, drain=Drain.KEEP)
    table = (replace(row, servers=(replace(row.servers[0], server=drained),)),)
    order = Order(row.service.key, drained.address, 1.0, 2.0, weight=7)
    (again,) = undrained(table, {order.member: order})
    assert again.servers[0].server == row.servers[0].server
    assert undrained(table, {}) == list(table)


# ---- Writing ----


def test_changes_that_come_while_one_is_written_are_written_together(tmp_path: Path) -> None:
    asked = []

    def contents() -> str:
        asked.append(len(asked))
        return f"{len(asked)}\n"

    async def scenario() -> None:
        keeper = Keeper(tmp_path / "table", contents)
        assert await asyncio.gather(*(keeper.keep() for _ in range(50))) == [None] * 50

    asyncio.run(scenario())
    assert len(asked) == 2
    assert (tmp_path / "table").read_text() == "2\n"
    assert [path.name for path in tmp_path.iterdir()] == ["table"]


def test_a_change_that_cannot_be_kept_is_told_and_the_next_tried(tmp_path: Path) -> None:
    path = tmp_path / "there" / "table"

    async def scenario() -> tuple[str | None, str | None]:
        keeper = Keeper(path, lambda: "kept\n")
        first = await keeper.keep()
        path.parent.mkdir()
        return first, await keeper.keep()

    assert asyncio.run(scenario()) == (f"{path}: not kept: No such file or directory", None)
    assert path.read_text() == "kept\n"
