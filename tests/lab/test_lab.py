"""The lab comes up, carries traffic, breaks as it says, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import threading
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, IPv6Interface
from pathlib import Path

import pytest

from dr_forwarder.lab import (
    BREAKERS,
    Frame,
    Host,
    Lab,
    LabError,
    LabUnavailable,
    Topology,
    break_,
    check,
    draw,
    enter_user_namespace,
    with_servers,
)

ARP = b"\x08\x06"
VIP = IPv4Address("10.10.10.60")
VM2 = IPv4Address("10.10.10.62")
VM3 = IPv4Address("10.10.10.63")


def open_files() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


# Up and down


def test_a_lab_leaves_no_file_no_thread_and_no_process(possible: None) -> None:
    files, threads = open_files(), threading.enumerate()
    with Lab() as lab:
        pids = [lab.web_pid("vm2"), lab.popen("client", ["sleep", "60"]).pid]
        assert not any(is_gone(pid) for pid in pids)
    assert open_files() == files
    assert threading.enumerate() == threads
    assert all(is_gone(pid) for pid in pids)


def test_a_failure_inside_is_cleaned_up_after(possible: None) -> None:
    files = open_files()
    pids: list[int] = []

    def fail() -> None:
        with Lab() as lab:
            pids.append(lab.web_pid("vm2"))
            lab.namespace("client").run(lambda: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        fail()
    assert all(is_gone(pid) for pid in pids)
    assert open_files() == files


def test_a_failure_on_the_way_up_is_cleaned_up_after(possible: None) -> None:
    files, threads = open_files(), threading.enumerate()
    topology = replace(Topology(), vips=(IPv6Address("fd00::60"),))
    # The hosts have no IPv6, so the kernel refuses the VIP when most of the lab stands.
    with pytest.raises(Exception, match="Permission denied"), Lab(topology):
        pass
    assert open_files() == files
    assert threading.enumerate() == threads


def test_the_number_of_real_servers_is_free(possible: None) -> None:
    with Lab(with_servers(3)) as lab:
        findings = check(lab)
    assert [f.said for f in findings] == ["This is VM2", "This is VM3", "This is VM4"]


def test_ipv6_is_there_when_asked_for(possible: None) -> None:
    def dual(host: Host) -> Host:
        version6 = IPv6Interface(f"fd00::{host.address}/64".replace("10.10.10.", ""))
        return replace(host, interfaces=(*host.interfaces, version6))

    plain = Topology()
    topology = Topology(
        client=dual(plain.client),
        servers=(dual(plain.servers[0]),),
        vips=(VIP, IPv6Address("fd00::60")),
    )
    with Lab(topology) as lab:
        assert lab.get(address=IPv6Address("fd00::62")) == "This is VM2\n"
        assert lab.get(address=VM2) == "This is VM2\n"


# Traffic


@pytest.mark.parametrize(
    ("address", "url_path", "answer"),
    [
        pytest.param(VM2, "/", "This is VM2\n", id="vm2"),
        pytest.param(VM3, "/", "This is VM3\n", id="vm3"),
        pytest.param(VM3, "/test.html", "foo\n", id="the health check's page"),
    ],
)
def test_the_client_reaches_a_real_server_by_its_own_address(
    lab: Lab, address: IPv4Address, url_path: str, answer: str
) -> None:
    assert lab.get(url_path, address=address) == answer


def test_nobody_answers_for_the_vip_without_a_director(lab: Lab) -> None:
    question = VIP.packed  # the target address ends an ARP request

    def asks_for_vip(frame: Frame) -> bool:
        return frame.data[12:14] == ARP and frame.data[38:42] == question

    with lab.tap("vm2") as tap:
        with pytest.raises(TimeoutError):
            lab.get(limit_s=0.2)
        asked = tap.wait_for(asks_for_vip)
        answered = [frame for frame in tap.frames() if frame.outgoing]
    assert asked.data[6:12].hex(":") == lab.topology.client.mac
    assert answered == []


def test_five_megabytes_arrive_byte_exact(lab: Lab) -> None:
    transfer = lab.upload(5_000_000, seed=1, address=VM2)
    assert (transfer.server, transfer.size_bytes) == ("VM2", 5_000_000)
    assert lab.download(5_000_000, address=VM3).size_bytes == 5_000_000


def test_a_port_can_be_chosen_and_used_again(lab: Lab) -> None:
    answers = [lab.get("/", 40000, address=VM2) for _ in range(3)]
    assert answers == ["This is VM2\n"] * 3


def test_a_page_that_is_not_there_is_an_error(lab: Lab) -> None:
    with pytest.raises(LabError, match="HTTP 404"):
        lab.get("/nothing", address=VM2)


def test_a_stopped_web_server_refuses_until_it_is_started(own_lab: Lab) -> None:
    own_lab.stop_web("vm2")
    assert not own_lab.web_running("vm2")
    with pytest.raises(ConnectionRefusedError):
        own_lab.get(address=VM2)
    own_lab.start_web("vm2")
    assert own_lab.web_running("vm2")
    assert own_lab.get(address=VM2) == "This is VM2\n"


# Observation


def test_counters_have_nstats_names_and_belong_to_one_host(lab: Lab) -> None:
    before = lab.counters("vm2"), lab.counters("vm3")
    lab.get(address=VM2)
    after = lab.counters("vm2"), lab.counters("vm3")
    assert [
        a["TcpPassiveOpens"] - b["TcpPassiveOpens"] for a, b in zip(after, before, strict=True)
    ] == [1, 0]
    for name in (
        "TcpOutRsts",
        "IpForwDatagrams",
        "IpInAddrErrors",
        "IcmpOutMsgs",
        "IcmpOutDestUnreachs",
        "IcmpOutRedirects",
        "TcpExtListenOverflows",
    ):
        assert lab.counters("director")[name] == 0


def test_interface_counters_count_what_passes(lab: Lab) -> None:
    before = lab.interface_counters("vm2")
    lab.upload(1_000_000, address=VM2)
    after = lab.interface_counters("vm2")
    assert after["rx_bytes"] - before["rx_bytes"] > 1_000_000
    assert after["tx_packets"] > before["tx_packets"]


def test_a_tap_tells_the_directions_apart(lab: Lab) -> None:
    with lab.tap("vm2") as tap:
        lab.get(address=VM2)
        frames = tap.frames()
        assert tap.lost() == 0
    sources = {(frame.outgoing, frame.data[6:12].hex(":")) for frame in frames}
    assert sources == {(False, lab.topology.client.mac), (True, lab.topology.servers[0].mac)}


def test_a_program_sees_its_host_and_nothing_else(lab: Lab) -> None:
    child = lab.popen("vm3", ["cat", "/proc/self/net/fib_trie"], stdout=subprocess.PIPE)
    seen, _ = child.communicate()
    assert str(VM3) in seen
    assert str(VM2) not in seen


def test_the_picture_shows_everybody() -> None:
    first, *_, wire = draw(Topology()).splitlines()
    assert first.split() == ["client", "director", "vm2", "vm3"]
    assert wire.count("+") == 4
    assert "02:00:0a:0a:0a:3f" in draw(Topology())


# Breakers


def test_arp_makes_a_real_server_answer_for_the_vip(own_lab: Lab) -> None:
    assert "vm2 now answers ARP for 10.10.10.60" in break_(own_lab, "arp")
    assert own_lab.get() == "This is VM2\n"


def test_no_vip_takes_the_address_from_the_real_server(own_lab: Lab) -> None:
    with own_lab.namespace("vm2").socket() as sock:
        sock.bind((str(VIP), 0))
    assert "vm2 has no 10.10.10.60 on lo" in break_(own_lab, "no-vip")
    with (
        own_lab.namespace("vm2").socket() as sock,
        pytest.raises(OSError, match="Cannot assign requested address"),
    ):
        sock.bind((str(VIP), 0))


def test_web_is_found_by_the_check(own_lab: Lab) -> None:
    assert all(finding.answered for finding in check(own_lab))
    assert "web server of vm2 is stopped" in break_(own_lab, "web")
    assert [finding.answered for finding in check(own_lab)] == [False, True]


def test_an_unknown_breaker_names_the_known_ones(lab: Lab) -> None:
    with pytest.raises(LabError, match=", ".join(BREAKERS)):
        break_(lab, "everything")


def test_a_process_with_threads_is_told_what_to_do(lab: Lab) -> None:
    with pytest.raises(LabUnavailable, match=r"already has threads.*before anything starts one"):
        enter_user_namespace()
