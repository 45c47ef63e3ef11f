"""The whole director in the lab: real processes, real frames."""

from __future__ import annotations

import http.client
import signal
import socket
from functools import partial
from pathlib import Path

import pytest
from pyroute2 import IPRoute
from running import CONFIG, UNCHECKED, Running, running, wait_until, with_cap_net_raw_only

from dr_forwarder.lab import Lab, break_

DATA = Path(__file__).parent.parent / "data"
TUTORIAL = (DATA / "tutorial.cf").read_text()
VIP = "10.10.10.60"
ALTERNATING = ["This is VM3", "This is VM2"]
QUIET = ("TcpOutRsts", "IpForwDatagrams", "IcmpOutMsgs", "IpInAddrErrors")


def ask(lab: Lab, count: int) -> list[str]:
    return [answer.strip() for answer in lab.requests(count)]


class Held:
    """A connection through the director that stays open, to see whether it lives on."""

    def __init__(self, lab: Lab) -> None:
        self._socket = lab.namespace("client").socket(socket.AF_INET, socket.SOCK_STREAM, 0)
        self._socket.settimeout(5)
        self._socket.connect((VIP, 80))
        self._http = http.client.HTTPConnection(VIP)
        self._http.sock = self._socket

    def ask(self) -> str:
        self._http.request("GET", "/", headers={"Connection": "keep-alive"})
        return self._http.getresponse().read().decode().strip()

    def close(self) -> None:
        self._http.close()


def test_the_tutorials_file_works_unchanged(own_lab: Lab, tmp_path: Path) -> None:
    text = TUTORIAL.replace("/var/log/", f"{tmp_path}/")
    with running(own_lab, tmp_path, text, servers=2) as director:
        assert ask(own_lab, 6) == ALTERNATING * 3
        assert director.stop() == 0


@pytest.mark.parametrize("name", ["tutorial-without-indent.cf", "tutorial-typographic.cf"])
def test_the_tutorials_text_works_as_its_page_prints_it(
    lab: Lab, tmp_path: Path, name: str
) -> None:
    text = (DATA / name).read_text().replace("/var/log/", f"{tmp_path}/")
    # The servers of the lab have the first file's page.
    text = text.replace("index.html", "test.html").replace("hi”", "foo”")
    with running(lab, tmp_path, text, servers=2):
        answers = ask(lab, 6)
    assert answers in (ALTERNATING * 3, ALTERNATING[::-1] * 3)


def test_the_directors_kernel_keeps_quiet(own_lab: Lab, tmp_path: Path) -> None:
    before = own_lab.counters("director")
    with running(own_lab, tmp_path, UNCHECKED, servers=2):
        assert ask(own_lab, 6) == ALTERNATING * 3
        after = own_lab.counters("director")
    assert {name: after[name] - before[name] for name in QUIET} == dict.fromkeys(QUIET, 0)


def test_the_demonstration_shows_the_tutorials_file() -> None:
    import dr_forwarder.lab

    shipped = Path(dr_forwarder.lab.__file__).parent / "tutorial.cf"
    assert shipped.read_text() == TUTORIAL


def test_a_stopped_server_is_taken_out_and_comes_back(own_lab: Lab, tmp_path: Path) -> None:
    with running(own_lab, tmp_path, CONFIG, servers=2) as director:
        own_lab.stop_web("vm2")
        wait_until(lambda: director.weights() == {".63": 1}, "vm2 is out", limit_s=2)
        assert ask(own_lab, 4) == ["This is VM3"] * 4
        refused = "Check of 10.10.10.62:80: down (connection refused)"
        wait_until(lambda: refused in director.log, "it is told")
        own_lab.start_web("vm2")
        wait_until(lambda: len(director.weights()) == 2, "vm2 is back", limit_s=2)
        assert ask(own_lab, 2) == ["This is VM2", "This is VM3"]


def test_a_quiescent_server_keeps_its_connections(own_lab: Lab, tmp_path: Path) -> None:
    text = CONFIG.replace("checkinterval", "quiescent=yes\ncheckinterval")
    with running(own_lab, tmp_path, text, servers=2) as director:
        own_lab.stop_web("vm2")
        wait_until(lambda: director.weights() == {".62": 0, ".63": 1}, "vm2 is quiescent")
        assert ask(own_lab, 3) == ["This is VM3"] * 3


def test_the_fallback_serves_while_no_real_server_is_up(own_lab: Lab, tmp_path: Path) -> None:
    text = CONFIG.replace("        real=10.10.10.63:80 gate\n", "        fallback=10.10.10.63\n")
    with running(own_lab, tmp_path, text) as director:
        assert ask(own_lab, 1) == ["This is VM2"]
        own_lab.stop_web("vm2")
        wait_until(lambda: director.weights() == {".63": 1}, "the fallback is in")
        assert ask(own_lab, 2) == ["This is VM3"] * 2
        own_lab.start_web("vm2")
        wait_until(lambda: director.weights() == {".62": 1}, "the fallback is out")
        deleted = "Deleted fallback server: 10.10.10.63:80 (10.10.10.60:80)"
        wait_until(lambda: deleted in director.log, "it is told")


def test_a_server_that_never_passed_gets_no_traffic(own_lab: Lab, tmp_path: Path) -> None:
    own_lab.stop_web("vm2")
    with running(own_lab, tmp_path, CONFIG) as director:
        assert director.weights() == {".63": 1}
        assert ask(own_lab, 4) == ["This is VM3"] * 4
        assert "Added real server: 10.10.10.62" not in director.log


def test_weights_are_honoured(lab: Lab, tmp_path: Path) -> None:
    text = CONFIG.replace("10.10.10.62:80 gate", "10.10.10.62:80 gate 3")
    with running(lab, tmp_path, text, servers=2):
        assert ask(lab, 8).count("This is VM2") == 6


def test_an_upload_of_200_mb_is_byte_exact_with_offloads_on(lab: Lab, tmp_path: Path) -> None:
    with running(lab, tmp_path, CONFIG) as director:
        lab.upload(200_000_000)
        stats = director.client.stats()
    assert stats.verdicts["truncated"] == stats.verdicts["send_failed"] == 0


def test_persistence_keeps_a_client_at_its_server(lab: Lab, tmp_path: Path) -> None:
    with running(lab, tmp_path, CONFIG + "        persistent=600\n"):
        assert ask(lab, 4) == ["This is VM3"] * 4


def test_udp_is_forwarded(lab: Lab, tmp_path: Path) -> None:
    text = (
        f"virtual={VIP}:5353\n        real=10.10.10.62 gate\n"
        "        protocol=udp\n        checktype=on\n"
    )
    server = lab.namespace("vm2").socket(socket.AF_INET, socket.SOCK_DGRAM, 0)
    client = lab.namespace("client").socket(socket.AF_INET, socket.SOCK_DGRAM, 0)
    with server, client, running(lab, tmp_path, text) as director:
        server.bind((VIP, 5353))
        server.settimeout(5)
        client.settimeout(5)
        client.sendto(b"question", (VIP, 5353))
        question, who = server.recvfrom(100)
        server.sendto(b"answer to " + question, who)
        assert client.recv(100) == b"answer to question"
        assert [c.state for c in director.client.connections()] == ["UDP"]


def test_cap_net_raw_is_enough(lab: Lab, tmp_path: Path) -> None:
    director = Running(lab, tmp_path)
    director.prefix = with_cap_net_raw_only()
    try:
        director.start(CONFIG)
        assert director.process is not None
        status = Path(f"/proc/{director.process.pid}/status").read_text()
        assert "CapEff:\t0000000000002000" in status
        assert ask(lab, 4) == ALTERNATING * 2
    finally:
        director.stop()


# ---- Changes while running ----


def test_a_reload_breaks_no_connection(lab: Lab, tmp_path: Path) -> None:
    with running(lab, tmp_path, CONFIG) as director:
        held = Held(lab)
        server = held.ask()
        said = director.reload(CONFIG.replace("10.10.10.62:80 gate", "10.10.10.62:80 gate 3"))
        assert "Restored real server: 10.10.10.62:80 (10.10.10.60:80) (Weight set to 3)" in said
        assert held.ask() == server
        assert ask(lab, 8).count("This is VM2") == 6
        held.close()


def test_a_broken_file_changes_nothing(lab: Lab, tmp_path: Path) -> None:
    with running(lab, tmp_path, CONFIG) as director:
        before = director.client.services()
        said = director.reload(CONFIG + "        conecttype=1\n")
        assert "ldirectord.cf:10: error: " in said
        assert "Not reloaded: the director goes on as it was" in said
        assert [r.service for r in director.client.services()] == [r.service for r in before]
        assert sorted(ask(lab, 2)) == ["This is VM2", "This is VM3"]


def test_an_impossible_server_on_reload_changes_nothing(lab: Lab, tmp_path: Path) -> None:
    with running(lab, tmp_path, CONFIG) as director:
        said = director.reload(CONFIG.replace("10.10.10.62", "192.0.2.62"))
        assert "real server 192.0.2.62 cannot be reached" in said
        assert director.weights() == {".62": 1, ".63": 1}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_connections_survive_a_restart(lab: Lab, tmp_path: Path, number: int) -> None:
    with running(lab, tmp_path, CONFIG) as director:
        held = Held(lab)
        server = held.ask()
        director.stop(number)
        director.start(CONFIG)
        director.expect("Took over")
        assert held.ask() == server
        held.close()


def test_a_service_can_come_and_go(lab: Lab, tmp_path: Path) -> None:
    second = CONFIG + CONFIG[CONFIG.index("virtual=") :].replace(VIP, "10.10.10.70")
    with running(lab, tmp_path, CONFIG) as director:
        director.reload(second)
        wait_until(lambda: len(director.servers()) == 4, "both services are filled")
        said = director.reload(CONFIG)
        assert "Purged virtual server (start): 10.10.10.70:80" in said
        assert len(director.servers()) == 2


# ---- Neighbours and addresses ----


def test_a_moved_mac_is_followed_within_two_seconds(own_lab: Lab, tmp_path: Path) -> None:
    from pyroute2 import IPRoute

    def move() -> None:
        with IPRoute() as netlink:
            index = netlink.link_lookup(ifname="eth0")[0]
            netlink.link("set", index=index, address="02:00:00:00:aa:62")

    with running(own_lab, tmp_path, CONFIG, servers=2) as director:
        own_lab.namespace("vm2").run(move)

        def moved() -> bool:
            return any(row.mac == bytes.fromhex("02000000aa62") for row in director.servers())

        wait_until(moved, "the new MAC is in the table", limit_s=2.2)
        assert sorted(ask(own_lab, 2)) == ["This is VM2", "This is VM3"]


def test_a_real_server_that_answers_arp_for_the_vip_is_named(own_lab: Lab, tmp_path: Path) -> None:
    break_(own_lab, "arp")
    with running(own_lab, tmp_path, CONFIG) as director:
        expected = "real server 10.10.10.62 answers ARP for it; run there: sysctl -w"
        wait_until(lambda: expected in director.log, "the log names it")


def test_a_real_server_that_begins_to_answer_arp_for_the_vip_is_named_soon(
    own_lab: Lab, tmp_path: Path
) -> None:
    """It may be set up wrongly at any time; two seconds are what it takes on an idle machine."""
    with running(own_lab, tmp_path, CONFIG) as director:
        assert "is claimed" not in director.log
        break_(own_lab, "arp")
        expected = "real server 10.10.10.62 answers ARP for it; run there: sysctl -w"
        wait_until(lambda: expected in director.log, "the log names it", limit_s=10)


def test_books_balance_and_agree_with_the_interface(own_lab: Lab, tmp_path: Path) -> None:
    text = CONFIG.replace("        request=", "        checktype=on\n        request=")
    with running(own_lab, tmp_path, text) as director:
        before = own_lab.interface_counters("director")
        stats_before = director.client.stats()
        own_lab.upload(20_000_000)
        after = own_lab.interface_counters("director")
        stats = director.client.stats()
    assert stats.frames == sum(stats.verdicts.values())
    seen = stats.frames - stats_before.frames
    sent = stats.verdicts["forwarded"] - stats_before.verdicts["forwarded"]
    sent += stats.verdicts["answered"] - stats_before.verdicts["answered"]
    # What else is on this wire is ARP between the servers and our own prober, which the ring sees
    # too; a probe more or less may fall between two readings.
    assert abs(after["rx_packets"] - before["rx_packets"] - seen) <= 4
    probes = after["tx_packets"] - before["tx_packets"] - sent
    assert 0 <= probes <= 20
    assert stats.ring_dropped == 0


def test_the_interfaces_own_mac_works_with_forwarding_off(own_lab: Lab, tmp_path: Path) -> None:
    before = own_lab.counters("director")
    with running(own_lab, tmp_path, UNCHECKED, "--mac", "nic") as director:
        assert ask(own_lab, 4) == ALTERNATING * 2
        director.expect("the interface's MAC 02:00:0a:0a:0a:3d")
        after = own_lab.counters("director")
    assert after["TcpOutRsts"] == before["TcpOutRsts"]


def narrow(address: str) -> None:
    with IPRoute() as netlink:
        index = netlink.link_lookup(ifname="eth0")[0]
        netlink.route("add", dst=f"{address}/32", oif=index, metrics={"mtu": 1300})


def test_clients_learn_the_mtu_of_the_route_to_a_server(own_lab: Lab, tmp_path: Path) -> None:
    for server in ("10.10.10.62", "10.10.10.63"):
        own_lab.namespace("director").run(narrow, server)
    before = own_lab.counters("client")["IcmpInDestUnreachs"]
    with running(own_lab, tmp_path, UNCHECKED, servers=2) as director:
        own_lab.upload(1_000_000)
        assert director.verdict("oversize") > 0
    assert own_lab.counters("client")["IcmpInDestUnreachs"] > before


# ---- Refusals: one line, with the cure ----


def refusal(lab: Lab, tmp_path: Path, text: str, *options: str, status: int = 1) -> str:
    director = Running(lab, tmp_path, *options, "--interface-wait", "0")
    director.start(text)
    assert director.stop() == status
    return director.log.splitlines()[-1]


def test_the_interfaces_own_mac_is_refused_with_forwarding_on(own_lab: Lab, tmp_path: Path) -> None:
    own_lab.namespace("director").sysctl("net.ipv4.ip_forward", 1)
    said = refusal(own_lab, tmp_path, CONFIG, "--mac", "nic")
    assert "sysctl -w net.ipv4.conf.eth0.forwarding=0" in said


def test_the_virtual_mac_works_with_forwarding_on(own_lab: Lab, tmp_path: Path) -> None:
    own_lab.namespace("director").sysctl("net.ipv4.ip_forward", 1)
    before = own_lab.counters("director")
    with running(own_lab, tmp_path, UNCHECKED):
        assert ask(own_lab, 4) == ALTERNATING * 2
        after = own_lab.counters("director")
    assert {name: after[name] - before[name] for name in QUIET} == dict.fromkeys(QUIET, 0)


def test_a_vip_that_the_kernel_has_is_refused(own_lab: Lab, tmp_path: Path) -> None:
    from dr_forwarder.lab import links

    links.add_vip(own_lab.namespace("director"), own_lab.topology.vip)
    said = refusal(own_lab, tmp_path, CONFIG)
    assert "run: ip addr del 10.10.10.60/32 dev lo" in said


@pytest.mark.parametrize("interface", ["lo", "eth0"])
def test_a_vip_that_the_kernel_gets_and_loses_is_told_at_once(
    own_lab: Lab, tmp_path: Path, interface: str
) -> None:
    def change(command: str) -> None:
        with IPRoute() as netlink:
            index = netlink.link_lookup(ifname=interface)[0]
            netlink.addr(command, index=index, address="10.10.10.60", prefixlen=24)

    with running(own_lab, tmp_path, CONFIG) as director:
        own_lab.namespace("director").run(partial(change, "add"))
        cure = f"run: ip addr del 10.10.10.60/24 dev {interface}"
        wait_until(lambda: cure in director.log, "the cure is told")
        own_lab.namespace("director").run(partial(change, "delete"))
        over = f"no longer an address of this host's kernel (on {interface})"
        wait_until(lambda: over in director.log, "it is over")
        assert director.log.count(cure) == 1
        assert sorted(ask(own_lab, 2)) == ["This is VM2", "This is VM3"]


def test_a_missing_interface_is_refused(lab: Lab, tmp_path: Path) -> None:
    said = refusal(lab, tmp_path, CONFIG, "--interface", "eth7", status=75)
    assert "there is no interface 'eth7'; there are: eth0, lo" in said


def test_a_server_that_is_not_on_link_is_refused(lab: Lab, tmp_path: Path) -> None:
    said = refusal(lab, tmp_path, CONFIG.replace("10.10.10.62", "192.0.2.62"))
    assert "real server 192.0.2.62 cannot be reached: no route" in said


def test_a_second_director_in_the_same_directory_is_refused(lab: Lab, tmp_path: Path) -> None:
    with running(lab, tmp_path, CONFIG) as director:
        second = Running(lab, tmp_path)
        second.start(CONFIG)
        assert second.stop() == 1
        second.expect(f"running already in {second.state_dir} (pid {director.process.pid})")
        assert sorted(ask(lab, 2)) == ["This is VM2", "This is VM3"]
