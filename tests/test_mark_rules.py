"""Rules that set marks are followed as the kernel does, and what cannot be followed is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from ipaddress import ip_address, ip_network
from itertools import product
from pathlib import Path

import marking
import pytest
from privileges import may_become_others

from dr_forwarder.config import ConfigError, load
from dr_forwarder.config.marks import Found, read
from dr_forwarder.config.model import Mark

PREROUTING = "*mangle\n:PREROUTING ACCEPT [0:0]\n{}\nCOMMIT\n"
VIP = "-d 10.0.0.100/32"


def found(text: str, *, interface: str | None = "eth0") -> Found:
    return read(text, file="rules", interface=interface)


def mark(marks: tuple[Mark, ...], address: str, protocol: str, port: int) -> int:
    """What the director makes of a packet: the first that fits."""
    for each in marks:
        if (
            ip_address(address) in each.network
            and each.protocol in (None, protocol)
            and each.first_port <= port <= each.last_port
        ):
            return each.mark
    return 0


def of(text: str, where: str = "10.0.0.100 tcp 80", *, interface: str | None = "eth0") -> int:
    address, protocol, port = where.split()
    return mark(found(text, interface=interface).marks, address, protocol, int(port))


# ---- Against the kernel ----

IPTABLES = """*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -d 10.0.0.3/32 -j MARK --set-xmark 0x10/0xff
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:LVS - [0:0]
:WEB - [0:0]
-A PREROUTING -d 10.0.0.100/32 -m comment --comment "the \\"web\\" # service" -j LVS
-A PREROUTING -d 10.0.0.128/25 -p tcp -g WEB
-A PREROUTING -d 10.1.0.0/16 -i eth9 -j MARK --set-xmark 0x77/0xffffffff
-A PREROUTING -d 10.1.0.0/16 -i in0 -p udp -m udp --dport 80:443 -j MARK --set-xmark 0x7/0xffffffff
-A PREROUTING -d 10.1.0.0/16 ! -i in0 -j MARK --set-xmark 0x78/0xffffffff
-A PREROUTING -d 10.0.0.0/24 -p tcp -m tcp ! --dport 80 -j MARK --set-xmark 0x200/0x200
-A PREROUTING -d 10.0.0.0/24 -m mark --mark 0x210/0x2ff -j MARK --set-xmark 0x33/0xffffffff
-A PREROUTING -d 192.0.2.1/32 ! -p udp -j MARK --set-xmark 0x4/0x4
-A PREROUTING -d 192.0.2.1/32 -p sctp -j MARK --set-xmark 0x0/0x4
-A PREROUTING -d 192.0.2.1/32 -p tcp -j MARK --set-xmark 0xf/0x0
-A PREROUTING -d 10.0.0.4/32 -p tcp -m tcp --dport 22 -j DROP
-A PREROUTING -d 10.0.0.4/32 -p tcp -m tcp --dport 0:1023 -j MARK --set-xmark 0x9/0xffffffff
-A PREROUTING -s 10.8.0.0/16 -j ACCEPT
-A PREROUTING -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A PREROUTING -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
-A OUTPUT -d 10.0.0.4/32 -j MARK --set-xmark 0x99/0xffffffff
-A POSTROUTING -d 10.0.0.4/32 -j MARK --set-xmark 0x99/0xffffffff
-A LVS -p tcp -m multiport --dports 80,443,8000:8010 -j MARK --set-xmark 0x1/0xffffffff
-A LVS -m mark --mark 0x1 -j RETURN
-A LVS -p udp -m udp --dport 53 -j MARK --set-xmark 0x2/0xffffffff
-A LVS -p udp -m udp --dport 53 -j ACCEPT
-A LVS -j MARK --set-xmark 0x3/0xffffffff
-A WEB -p tcp -m tcp --dport 443 -j RETURN
-A WEB -j MARK --set-xmark 0x5/0xffffffff
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p icmp -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
"""
IPTABLES = IPTABLES.replace("-j TCPMSS --clamp-mss-to-pmtu", "-j TTL --ttl-set 64")

NFT = """table inet lvs {
  set vips { type ipv4_addr; flags interval;
    elements = { 10.0.0.100, 10.0.0.128/25, 10.1.0.1-10.1.0.9 }
  }
  map m { type inet_service : mark; elements = { 80 : 1, 443 : 2 }
  }
  map v { type ipv4_addr . inet_service : verdict; elements = { 10.0.0.130 . 80 : goto web }
  }
  chain web {
    meta mark set 5
    return
  }
  chain pre {
    type filter hook prerouting priority mangle; policy accept;
    ip daddr @vips tcp dport {80, 443, 8000-8010} counter meta mark set 0x101 comment "lvs # x"
    ip daddr 10.0.0.130 meta l4proto { tcp, udp } th dport 53 meta mark set 2 accept
    ip daddr 10.0.0.3 ip protocol udp meta mark set meta mark or 4
    ip daddr 10.0.0.3 meta mark set meta mark and 0xff xor 3
    ip daddr 10.0.0.0/24 meta mark and 0xff == 3 meta mark set 9
    iifname "in0" ip daddr 10.0.0.4 tcp dport != 80 meta mark set 6
    iifname "eth7" ip daddr 10.0.0.4 meta mark set 77
    iifname != { "eth0", "eth1" } ip daddr 10.0.0.4 udp dport 53 meta mark set 7 return
    ip daddr 10.1.0.5 meta mark set tcp dport map @m
    ip daddr 10.1.0.5 meta mark set udp dport map { 22 : 11, 443 : 12 }
    ip daddr 10.1.0.5 udp dport 80 jump web
    ip daddr . tcp dport { 192.0.2.1 . 80, 192.0.2.1 . 443 } meta mark set 8
    ip daddr . tcp dport vmap @v
    ip daddr 10.0.0.130 tcp dport vmap { 22 : accept, 443 : jump web }
    ip daddr 10.0.0.130 meta mark 5 meta mark set 0x55
    ct state established accept
    ip saddr 10.0.0.1 drop
    ip daddr 10.0.0.100 udp dport 22 drop
    ip daddr != 10.0.0.0/8 ip daddr 192.0.2.0/24 udp dport { 22, 53 } meta mark set meta mark | 0x20
  }
  chain late {
    type filter hook prerouting priority mangle + 5;
    ip daddr 10.0.0.100 tcp dport 443 meta mark set meta mark & 0xffffff00 | 0x7
    ip daddr 10.0.0.0/16 meta mark 0x9 meta mark set 10
  }
  chain early {
    type filter hook prerouting priority raw;
    ip daddr 10.0.0.4 sctp dport 81 meta mark set 0x40
  }
  chain out {
    type route hook output priority mangle;
    ip daddr 10.0.0.9 meta mark set 3
  }
}
table ip6 other {
  chain pre {
    type filter hook prerouting priority filter;
    tcp dport 80 accept
  }
}
"""


def ask_kernel(kind: str, rules: str, tmp_path: Path) -> dict[str, object]:
    tools = ("unshare", "ip", "nft", "iptables-restore", "iptables-save")
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [each for each in tools if shutil.which(each, path=path) is None]
    if missing or not may_become_others():
        pytest.skip(f"needs root and {', '.join(tools)} (see .ci/packages)")
    file = tmp_path / "rules"
    file.write_text(rules)
    done = subprocess.run(
        ["unshare", "-n", sys.executable, marking.__file__, kind, str(file)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PATH": path},
    )
    if done.returncode:
        pytest.skip(f"this kernel does not take the rules: {done.stderr[-300:]}")
    asked: dict[str, object] = json.loads(done.stdout)
    return asked


@pytest.mark.parametrize(("kind", "rules"), [("iptables", IPTABLES), ("nft", NFT)])
def test_marks_are_those_of_the_kernel(kind: str, rules: str, tmp_path: Path) -> None:
    asked = ask_kernel(kind, rules, tmp_path)
    theirs, texts = asked["marks"], asked["texts"]
    assert isinstance(theirs, dict)
    assert isinstance(texts, list)
    assert len(set(theirs.values())) >= 8
    for number, text in enumerate([rules, *texts]):
        got = found(text, interface="in0").marks
        for address, protocol, port in product(marking.ADDRESSES, marking.PROTOCOLS, marking.PORTS):
            where = f"{address} {protocol} {port}"
            # A frame that was dropped was not seen.
            assert mark(got, address, protocol, port) == theirs.get(where, 0), (number, where)


# ---- Without one ----


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (f"-A PREROUTING {VIP} -p tcp --dport 80 -j MARK --set-mark 7", 7),
        (f"[3:180] -A PREROUTING {VIP} -p tcp -m tcp --dport 80 -j MARK --set-mark 7", 7),
        (f"-A PREROUTING {VIP} -p tcp -m comment --comment 'x y' -j MARK --set-mark 7", 7),
        (f"-A PREROUTING {VIP} -i eth0 -j MARK --set-mark 7", 7),
        (f"-A PREROUTING {VIP} -i eth+ -j MARK --set-mark 7", 7),
        (f"-A PREROUTING {VIP} -i eth1 -j MARK --set-mark 7", 0),
        (f"-A PREROUTING {VIP} ! -i eth1 -j MARK --set-mark 7", 7),
        (f"-A PREROUTING {VIP} -p tcp --dport ! 81 -j MARK --set-mark 7", 7),
        (f"-A PREROUTING {VIP} -p 6 --dport :80 -j MARK --set-mark 7", 7),
        (f"-A PREROUTING {VIP} -p all -j MARK --set-mark 7", 7),
        (f"-A PREROUTING {VIP} -p icmp -j MARK --set-mark 7", 0),
        (f"-A OUTPUT {VIP} -j MARK --set-mark 7", 0),
        (f"-A POSTROUTING {VIP} -j MARK --set-mark 7", 0),
        (f"-A FORWARD {VIP} -j MARK --set-mark 7", 0),
        (f"-A INPUT {VIP} -j MARK --set-mark 7", 7),
        (f"-A PREROUTING {VIP} -j MARK --or-mark 0x6", 6),
        (
            f"-A PREROUTING {VIP} -j MARK --set-mark 0xffffffff\n-A PREROUTING {VIP} -j MARK"
            " --and-mark 0xf0",
            0xF0,
        ),
        (f"-A PREROUTING {VIP} -j MARK --set-mark 5\n-A PREROUTING {VIP} -j MARK --xor-mark 3", 6),
        (f"-A PREROUTING {VIP} -j MARK --set-mark 7\n-A PREROUTING {VIP} -j MARK --set-mark 0", 0),
        (f"-A PREROUTING {VIP} -j ACCEPT\n-A PREROUTING {VIP} -j MARK --set-mark 7", 0),
        (f"-A PREROUTING {VIP} -j MARK --set-mark 4294967295", 4294967295),
    ],
)
def test_a_rule_of_iptables(rule: str, expected: int) -> None:
    assert of(PREROUTING.format(rule)) == expected


def test_a_script_is_read_as_well() -> None:
    text = (
        "#!/bin/sh\niptables -t mangle -F\n/sbin/iptables -t mangle -A PREROUTING -p tcp"
        " -d 10.0.0.100 --dport 80 -j MARK --set-mark 7 # web\n"
    )
    assert of(text) == 7


@pytest.mark.parametrize("table", ["nat", "filter", "security"])
def test_other_tables_do_not_mark_what_arrives(table: str) -> None:
    rule = f"-A POSTROUTING {VIP} -j MARK --set-mark 7"
    text = PREROUTING.format(rule).replace("mangle", table)
    assert of(text) == 0
    (notice,) = found(text).notices
    assert "POSTROUTING does not see packets that arrive" in notice.reason
    assert notice.at("x") == "rules:3"


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (f"-A PREROUTING {VIP} -s 10.1.0.0/16 -j MARK --set-mark 7", "clients are not told apart"),
        (f"-A PREROUTING {VIP} -m statistic --mode random -j MARK --set-mark 7", "-m statistic"),
        ("-A PREROUTING -p tcp --dport 80 -j MARK --set-mark 7", "names no destination"),
        (f"-A PREROUTING {VIP} --syn -j MARK --set-mark 7", "--syn cannot be followed"),
        (f"-A PREROUTING {VIP} -p tcp --dport http -j MARK --set-mark 7", "'http' is not a number"),
    ],
)
def test_a_rule_that_could_mark_and_cannot_be_followed_is_refused(rule: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        found(PREROUTING.format(f"-A PREROUTING -p icmp -j ACCEPT\n{rule}"))
    assert (caught.value.file, caught.value.line) == ("rules", 4)
    assert reason in str(caught.value)


def test_all_such_rules_are_told_in_one_run() -> None:
    rule = f"-A PREROUTING {VIP} --syn -j MARK --set-mark 7"
    with pytest.raises(ConfigError) as caught:
        found(PREROUTING.format(f"{rule}\n{rule}"))
    assert [each.line for each in (caught.value, *caught.value.others)] == [3, 4]


@pytest.mark.parametrize(
    "rule",
    [
        "-A PREROUTING -m conntrack --ctstate INVALID -j DROP",
        "-A PREROUTING -s 10.8.0.0/16 -j ACCEPT",
        "-A PREROUTING -d 10.0.0.1/32 -p tcp --dport 80 -j TPROXY --on-port 1",
    ],
)
def test_a_rule_that_sets_no_mark_is_told_of_if_it_cannot_be_followed(rule: str) -> None:
    text = PREROUTING.format(f"{rule}\n-A PREROUTING {VIP} -j MARK --set-mark 7")
    assert of(text) == 7
    (notice,) = found(text).notices
    assert notice.at("") == "rules:3"
    assert notice.reason.startswith("not followed, ")


@pytest.mark.parametrize(
    "rule",
    [
        "-A PREROUTING -p tcp -j LOG --log-prefix x",
        "-A PREROUTING -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff",
    ],
)
def test_targets_that_leave_the_mark_alone_are_no_obstacle(rule: str) -> None:
    assert of(PREROUTING.format(f"{rule}\n-A PREROUTING {VIP} -j MARK --set-mark 7")) == 7


def test_of_an_unknown_interface_it_is_said_what_was_assumed() -> None:
    text = PREROUTING.format(f"-A PREROUTING {VIP} -i eth5 -j MARK --set-mark 7")
    assert of(text, interface=None) == 7
    (notice,) = found(text, interface=None).notices
    assert "-i eth5 is taken for the director's own interface" in notice.reason


@pytest.mark.parametrize("name", ["lo", "!lo"])
def test_no_director_has_the_loopback_interface(name: str) -> None:
    option = "! -i lo" if name == "!lo" else "-i lo"
    text = PREROUTING.format(f"-A PREROUTING {option} {VIP} -j MARK --set-mark 7")
    assert of(text, interface=None) == (7 if name == "!lo" else 0)
    assert not found(text, interface=None).notices


def test_of_the_loopback_interface_in_nft_too() -> None:
    hook = "type filter hook prerouting priority mangle;"
    rule = "iif lo ip daddr 10.0.0.100 meta mark set 7"
    text = f"table ip t {{\n chain pre {{\n {hook}\n {rule}\n }}\n}}\n"
    assert of(text, interface=None) == 0
    assert not found(text, interface=None).notices


def test_interfaces_of_chains_that_arriving_packets_do_not_see_are_no_concern() -> None:
    docker = "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -i docker0 -j ACCEPT\nCOMMIT\n"
    text = docker + PREROUTING.format(f"-A PREROUTING {VIP} -j MARK --set-mark 7")
    assert of(text, interface=None) == 7
    assert not found(text, interface=None).notices


@pytest.mark.parametrize(
    "program", ["iptables -w 5", "iptables -w", "sudo iptables", "\ufeffiptables"]
)
def test_commands_are_taken_as_scripts_have_them(program: str) -> None:
    assert of(f"{program} -t mangle -A PREROUTING {VIP} -j MARK --set-mark 7\n") == 7


CHAIN = (
    "table ip lvs {{\n\tchain pre {{\n\t\ttype filter hook {}; policy accept;\n\t\t{}\n\t}}\n}}\n"
)
SET = "ip daddr 10.0.0.100 tcp dport 80 meta mark set 0x7"


@pytest.mark.parametrize(
    ("hook", "rule", "expected"),
    [
        ("prerouting priority mangle", f'{SET} comment "lvs"', 7),
        ("prerouting priority mangle", f"{SET} accept # handle 4", 7),
        ("prerouting priority -150", SET.replace("meta ", ""), 7),
        ("input priority filter", SET, 7),
        ("input priority 300", SET, 0),
        ("output priority mangle", SET, 0),
        ("postrouting priority mangle", SET, 0),
        ("prerouting priority mangle", 'iifname "eth1" ' + SET, 0),
        ("prerouting priority mangle", 'iifname "eth*" ' + SET, 7),
        ("prerouting priority mangle", "ip daddr 10.0.0.0-10.0.0.200 meta mark set 7", 7),
        ("prerouting priority mangle", 'log prefix "x" level info ' + SET, 7),
        ("prerouting priority mangle", "ip protocol tcp ip daddr 10.0.0.100 mark set 7", 7),
    ],
)
def test_a_rule_of_nft(hook: str, rule: str, expected: int) -> None:
    assert of(CHAIN.format(hook, rule)) == expected


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("ip daddr @nosuch meta mark set 7", "set @nosuch is not in this file"),
        ("ip daddr 10.0.0.1 ip saddr 10.1.0.1 meta mark set 7", "'ip saddr' cannot be followed"),
        ("ip daddr 10.0.0.1 limit rate 5/second meta mark set 7", "'limit rate'"),
        ("ip daddr 10.0.0.1 meta mark set ct mark", "cannot be followed"),
        ("tcp dport 80 meta mark set 7", "names no destination"),
    ],
)
def test_a_rule_of_nft_that_cannot_be_followed(rule: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        found(CHAIN.format("prerouting priority mangle", rule))
    assert caught.value.line == 4
    assert reason in str(caught.value)


def test_a_thousand_rules_are_followed_in_good_time() -> None:
    rules = "\n".join(
        f"-A PREROUTING -d 10.0.{n // 250}.{n % 250} -p tcp --dport 80 -j MARK --set-mark {n + 1}"
        for n in range(1000)
    )
    marks = found(PREROUTING.format(rules)).marks
    assert len(marks) == 1000
    assert mark(marks, "10.0.3.249", "tcp", 80) == 1000


def test_the_notices_come_with_the_configuration(tmp_path: Path) -> None:
    rules, path = tmp_path / "rules", tmp_path / "a.cf"
    rules.write_text(
        PREROUTING.format(
            f"-A PREROUTING {VIP} -j MARK --set-mark 7\n-A OUTPUT {VIP} -j MARK --set-mark 7"
        )
    )
    path.write_text("virtual=7\n    real=10.0.0.2 gate\n    service=none\n")
    config = load(path, rules=rules, interface="eth0")
    assert [each.network for each in config.marks] == [ip_network("10.0.0.100")]
    assert [each.at(config.path) for each in config.notices] == [f"{rules}:4"]
