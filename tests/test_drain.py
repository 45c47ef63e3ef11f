"""Drain: which connections a drained server keeps, which it gets, and how the rest ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from director import (
    CLIENT,
    CLIENT6,
    CLIENT_MAC,
    VIP,
    VIP6,
    VIRTUAL_MAC,
    Director,
    fragment,
    sctp,
    service,
    tcp,
    udp,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from dr_forwarder.table import Drain, Operation, Service

WEB = service()
BOUND = service(persistent_s=300)
DATAGRAMS = service(protocol="udp")
ENDINGS = [Drain.DROP, Drain.RESET, Drain.REHASH]


def clients(count: int) -> list[str]:
    return [f"10.1.0.{i}:1000" for i in range(1, count + 1)]


def drain(director: Director, of: Service, number: int, how: Drain) -> None:
    assert director.edit(of, number, weight=1, drain=how) == 0


def established(director: Director, source: str = f"{CLIENT}:1000") -> str | int:
    director.tcp("S", source)
    return director.tcp("A", source)


# ---- While connections go on ----


def test_its_connections_go_on_and_no_new_ones_come() -> None:
    with Director() as director:
        director.add_service(WEB, 1, 1)
        assert established(director) == 2
        drain(director, WEB, 2, Drain.KEEP)
        assert director.tcp("PA") == 2
        assert {established(director, source) for source in clients(5)[1:]} == {1}
        assert director.tcp("FA") == 2
        assert director.counts(WEB)[2] == (0, 1)


def test_it_is_listed_with_weight_0_whatever_the_weight_it_is_given() -> None:
    with Director() as director:
        director.add_service(WEB, 1)
        drain(director, WEB, 1, Drain.KEEP)
        server = director.server_row(WEB, 1).server
        assert (server.weight, server.drain) == (0, Drain.KEEP)
        assert director.tcp("S") == "no_server"
        director.edit(WEB, 1, weight=3)
        server = director.server_row(WEB, 1).server
        assert (server.weight, server.drain) == (3, Drain.NONE)
        assert director.tcp("S") == 1


def test_it_may_be_drained_from_the_beginning() -> None:
    with Director() as director:
        director.add_service(WEB, 1)
        assert director.add(WEB, 2, weight=1, drain=Drain.KEEP) == 0
        assert {director.tcp("S", source) for source in clients(4)} == {1}


def test_a_template_that_points_to_it_is_not_used() -> None:
    with Director() as director:
        director.add_service(BOUND, 1, 1)
        assert established(director) == 2
        drain(director, BOUND, 2, Drain.KEEP)
        assert director.tcp("PA") == 2
        assert established(director, f"{CLIENT}:1001") == 1
        assert established(director, f"{CLIENT}:1002") == 1
        director.edit(BOUND, 2, weight=1)
        assert established(director, f"{CLIENT}:1003") == 1, "it stays where it is now"


@pytest.mark.parametrize("of", [WEB, BOUND], ids=["single", "persistent"])
@pytest.mark.parametrize("reuse", [0, 1])
def test_a_syn_on_a_connection_that_is_over_begins_one_elsewhere(of: Service, reuse: int) -> None:
    with Director() as director:
        director.tune(conn_reuse_mode=reuse)
        director.add_service(of, 1, 1)
        assert established(director) == 2
        drain(director, of, 2, Drain.KEEP)
        assert director.tcp("R") == 2
        assert director.tcp("S") == 1
        assert director.tcp("A") == 1


def test_a_syn_that_is_sent_again_still_goes_to_its_server() -> None:
    with Director() as director:
        director.add_service(WEB, 1, 1)
        assert director.tcp("S") == 2
        drain(director, WEB, 2, Drain.KEEP)
        assert director.tcp("S") == 2


@pytest.mark.parametrize("scheduler", ["sh", "mh", "dh", "rr", "wrr", "lc", "wlc", "sed", "nq"])
def test_its_clients_are_spread_over_the_others(scheduler: str) -> None:
    """With weight 0 alone the hash schedulers would refuse them."""
    hashed = service(scheduler=scheduler)
    with Director() as director:
        director.add_service(hashed, 1, 1, 1)
        drain(director, hashed, 2, Drain.KEEP)
        got = [director.tcp("S", source) for source in clients(60)]
        assert set(got) <= {1, 3}
        drain(director, hashed, 1, Drain.KEEP)
        drain(director, hashed, 3, Drain.KEEP)
        assert director.tcp("S", "10.1.1.1:1") == "no_server"
        director.edit(hashed, 2, weight=1)
        assert director.tcp("S", "10.1.1.1:1") == 2


# ---- At the end ----


def test_a_reset_is_sent_once_in_the_name_of_the_vip() -> None:
    with Director() as director:
        director.add_service(WEB, 1, 1)
        assert established(director) == 2
        drain(director, WEB, 2, Drain.RESET)
        decision = director.forward(tcp("PA", f"{CLIENT}:1000", f"{VIP}:80", b"data"))
        assert (decision.verdict, decision.sent) == ("reset", True)
        answer = Ether(decision.frame)
        assert (answer.dst, answer.src) == (CLIENT_MAC.hex(":"), VIRTUAL_MAC.hex(":"))
        assert (answer[IP].src, answer[IP].dst) == (VIP, CLIENT)
        assert (answer[TCP].sport, answer[TCP].dport) == (80, 1000)
        assert (answer[TCP].flags, answer[TCP].seq, answer[TCP].ack) == ("R", 1, 0)
        assert director.connections() == []
        assert director.tcp("PA") == "no_connection"
        assert director.stats().verdicts["reset"] == 1


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("flags", ["A", "PA", "FA", "F"])
def test_a_reset_is_what_its_client_takes(version: int, flags: str) -> None:
    """As scapy reads it, checksums and all, and RFC 9293 section 3.10.7.1 counts."""
    client, vip = (CLIENT, VIP) if version == 4 else (CLIENT6, VIP6)
    source, target = (
        (f"{client}:9", f"{vip}:80") if version == 4 else (f"[{client}]:9", f"[{vip}]:80")
    )
    web = service(target)
    with Director() as director:
        director.add_service(web, 1)
        director.tcp("S", source, target)
        drain(director, web, 1, Drain.RESET)
        decision = director.forward(tcp(flags, source, target, b"hello"))
        assert decision.verdict == "reset"
        packet = Ether(decision.frame)[IP if version == 4 else IPv6]
        assert len(bytes(packet)) == (40 if version == 4 else 60)
        bare = packet.copy()
        del bare[TCP].chksum
        if version == 4:
            del bare.chksum
        assert bytes(bare.__class__(bytes(bare))) == bytes(packet)
        if "A" in flags:
            assert (packet[TCP].flags, packet[TCP].seq) == ("R", 1)
        else:
            assert (packet[TCP].flags, packet[TCP].seq) == ("RA", 0)
            assert packet[TCP].ack == 1 + len(b"hello") + 1


def test_a_reset_of_the_clients_own_is_not_answered() -> None:
    with Director() as director:
        director.add_service(WEB, 1)
        established(director)
        drain(director, WEB, 1, Drain.RESET)
        decision = director.forward(tcp("R", f"{CLIENT}:1000", f"{VIP}:80"))
        assert (decision.verdict, decision.sent) == ("drained", False)
        assert director.connections() == []


def test_datagrams_are_answered_with_port_unreachable() -> None:
    with Director() as director:
        director.add_service(DATAGRAMS, 1, 1)
        assert director.udp() == 2
        drain(director, DATAGRAMS, 2, Drain.RESET)
        decision = director.forward(udp(f"{CLIENT}:1000", f"{VIP}:80"))
        assert (decision.verdict, decision.sent) == ("reset", True)
        error = Ether(decision.frame)[ICMP]
        assert (error.type, error.code) == (3, 3)
        assert director.udp() == 1


def test_sctp_is_answered_with_port_unreachable() -> None:
    of = service(protocol="sctp")
    with Director() as director:
        director.add_service(of, 1)
        assert director.sctp(bytes([1])) == 1
        drain(director, of, 1, Drain.RESET)
        assert director.forward(sctp(bytes([0]), f"{CLIENT}:1000", f"{VIP}:80")).verdict == "reset"


def test_what_is_dropped_is_not_answered() -> None:
    with Director() as director:
        director.add_service(WEB, 1, 1)
        assert established(director) == 2
        drain(director, WEB, 2, Drain.DROP)
        decision = director.forward(tcp("PA", f"{CLIENT}:1000", f"{VIP}:80"))
        assert (decision.verdict, decision.sent) == ("drained", False)
        assert director.connections() == []


def test_connections_that_are_dropped_end_though_they_send_nothing() -> None:
    with Director() as director:
        director.add_service(WEB, 1, 1)
        assert {established(director, source) for source in clients(10)} == {1, 2}
        drain(director, WEB, 2, Drain.DROP)
        director.wait(1)
        director.tick()
        assert director.counts(WEB) == {1: (5, 0), 2: (0, 0)}


@pytest.mark.parametrize("how", [Drain.RESET, Drain.REHASH])
def test_those_whose_clients_are_to_be_told_wait_for_them(how: Drain) -> None:
    with Director() as director:
        director.add_service(WEB, 1, 1)
        assert established(director) == 2
        drain(director, WEB, 2, how)
        director.wait(1)
        director.tick()
        assert director.counts(WEB)[2] == (1, 0)


def test_servers_that_were_removed_keep_theirs_when_others_are_dropped() -> None:
    with Director() as director:
        director.add_service(WEB, 1, 1, 1)
        for source in clients(3):
            established(director, source)
        director.delete(WEB, 1)
        drain(director, WEB, 2, Drain.DROP)
        director.wait(1)
        director.tick()
        assert director.stats().connections == 2
        director.add(WEB, 1, weight=1)
        assert director.tcp("A", "10.1.0.3:1000") == 1


def test_a_rehashed_connection_goes_to_another_server() -> None:
    with Director() as director:
        director.add_service(WEB, 1, 1)
        assert established(director) == 2
        drain(director, WEB, 2, Drain.REHASH)
        assert director.tcp("PA") == 1
        assert director.tcp("PA") == 1
        assert director.counts(WEB) == {1: (1, 0), 2: (0, 0)}


def test_rehashed_datagrams_go_on_elsewhere_though_they_pause() -> None:
    with Director() as director:
        director.add_service(DATAGRAMS, 1, 1)
        assert director.udp() == 2
        drain(director, DATAGRAMS, 2, Drain.REHASH)
        director.wait(1)
        director.tick()
        assert director.counts(DATAGRAMS)[2] == (0, 0)
        assert director.udp() == 1


def test_with_persistence_a_rehashed_client_is_bound_anew() -> None:
    with Director() as director:
        director.add_service(BOUND, 1, 1)
        assert established(director) == 2
        drain(director, BOUND, 2, Drain.REHASH)
        assert director.tcp("PA") == 1
        assert established(director, f"{CLIENT}:1001") == 1


@pytest.mark.parametrize("how", ENDINGS)
def test_a_syn_begins_a_connection_elsewhere(how: Drain) -> None:
    with Director() as director:
        director.add_service(WEB, 1, 1)
        assert established(director) == 2
        drain(director, WEB, 2, how)
        assert director.tcp("S") == 1


@pytest.mark.parametrize("how", ENDINGS)
def test_where_no_other_server_is_a_new_connection_is_refused(how: Drain) -> None:
    with Director() as director:
        director.add_service(WEB, 1)
        established(director)
        drain(director, WEB, 1, how)
        assert director.tcp("S") == "no_server"
        assert director.connections() == []


def test_fragments_share_the_end_of_the_first() -> None:
    with Director() as director:
        director.add_service(DATAGRAMS, 1)
        assert director.udp() == 1
        drain(director, DATAGRAMS, 1, Drain.DROP)
        source, target = f"{CLIENT}:1000", f"{VIP}:80"
        assert director.send(fragment(source, target, offset=0)) == "drained"
        assert director.send(fragment(source, target, offset=16, more=False)) == "drained"


def test_it_is_kept_in_the_state_file(tmp_path: Path) -> None:
    with Director(state_file=tmp_path / "state") as director:
        director.add_service(WEB, 1, 1)
        established(director)
        drain(director, WEB, 2, Drain.RESET)
    with Director(state_file=tmp_path / "state", now_ns=director.now_ns) as later:
        assert later.server_row(WEB, 2).server.drain is Drain.RESET
        assert later.tcp("A") == "reset"


# ---- Any story ----


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["S", "A", "FA", "R", "udp", "wait", *Drain]),
            st.integers(1, 3),
            st.integers(1, 6),
        ),
        max_size=60,
    ),
    st.sampled_from(["rr", "wlc", "sh"]),
    st.booleans(),
)
def test_a_drained_server_gets_nothing_but_what_it_is_to_keep(
    story: list[tuple[str | Drain, int, int]], scheduler: str, bound: bool
) -> None:
    """Against a model: who has a connection is whoever got the last packet of it."""
    web = service(scheduler=scheduler, persistent_s=300 if bound else None)
    dns = service(protocol="udp", scheduler=scheduler)
    drains = dict.fromkeys((1, 2, 3), Drain.NONE)
    served: dict[tuple[str, int], str | int] = {}
    with Director() as director:
        director.add_service(web, 1, 1, 1)
        director.add_service(dns, 1, 1, 1)
        for what, number, client in story:
            if isinstance(what, Drain):
                drains[number] = what
                drain(director, web, number, what)
                drain(director, dns, number, what)
            elif what == "wait":
                director.wait(number)
                director.tick()
            else:
                source = f"10.1.0.{client}:1000"
                got = director.udp(source) if what == "udp" else director.tcp(what, source)
                protocol = "udp" if what == "udp" else "tcp"
                if isinstance(got, int):
                    assert drains[got] in (Drain.NONE, Drain.KEEP)
                    if drains[got] is Drain.KEEP:
                        assert served.get((protocol, client)) == got
                if isinstance(got, int) or got in ("reset", "drained"):
                    served[protocol, client] = got
            assert director.change(Operation.EDIT_SERVICE, web, None) == 0
            director.stats()
