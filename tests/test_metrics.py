"""Metrics: read back by Prometheus's own parsers, so that what is served is what they take."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as plain_families

from dr_forwarder.checks import Result, target
from dr_forwarder.config.model import Check, Config, Real, Virtual
from dr_forwarder.exposition import DURATION, Metrics
from dr_forwarder.health import Health
from dr_forwarder.link_state import LinkState
from dr_forwarder.metrics import FAMILIES, PREFIX, Kind, look
from dr_forwarder.table import (
    Counters,
    Key,
    Server,
    ServerRow,
    Service,
    ServiceRow,
    Stats,
    WorkerStats,
)

VIP = IPv4Address("10.9.0.100")
FIRST, SECOND = IPv4Address("10.9.0.11"), IPv4Address("10.9.0.12")
OPEN = "application/openmetrics-text; version=1.0.0"
WEB = Virtual(
    "tcp",
    VIP,
    80,
    real=(Real(FIRST, 8080), Real(SECOND, 80), Real(SECOND, 80)),
    check=Check(service="http"),
)
MARKED = Virtual("fwm", None, 0, fwmark=7, real=(Real(FIRST, 0),))
TABLE = (
    ServiceRow(
        Service(Key("tcp", VIP, 80)),
        (
            ServerRow(
                Server(SECOND, 80, 3), 4, 5, 6, Counters(7, 8, 9), mac=bytes(6), overloaded=True
            ),
            ServerRow(Server(FIRST, 80, 0)),
        ),
        Counters(10, 11, 12),
    ),
    ServiceRow(Service(Key("fwm", IPv4Address(7), 0)), (ServerRow(Server(FIRST, 0)),)),
    ServiceRow(Service(Key("fwm", IPv6Address(7), 0))),
    ServiceRow(Service(Key("udp", IPv6Address("2001:db8::1"), 53))),
)
EMPTY = Stats(0, 0, {"forwarded": 0}, 0, 0, 0, 0, 0, 0)
WORKERS = (WorkerStats(1, 1, 0, 1), WorkerStats(2, 1, 5, 2))
BUSY = replace(EMPTY, frames=3, bytes=180, verdicts={"forwarded": 2, "no_mac": 1}, workers=WORKERS)
CONFIG = Config("test.cf", (WEB, MARKED))


UP = LinkState("eth0", "up")


@dataclass
class Fake:
    """What metrics ask of a director."""

    config: Config = CONFIG
    table: tuple[ServiceRow, ...] = TABLE
    counters: Stats = BUSY
    standby: bool = False
    link: LinkState = UP
    checks_not_carried_out: int = 0
    event_loop_stalls: int = 0
    vips_on_host: int = 0

    def services(self) -> tuple[ServiceRow, ...]:
        return self.table

    def stats(self) -> Stats:
        return self.counters

    def health(self, virtual: Virtual, real: Real) -> Health:
        if virtual is MARKED:
            return Health()
        if real.address == SECOND:
            return Health(up=True, reason="for the test")
        return Health(up=False, failures=3, reason="for the test")


def samples(families: Iterable[Metric]) -> dict[tuple[str, ...], float]:
    """(name, label values in the order of their names) -> value; a name twice is an error."""
    found: dict[tuple[str, ...], float] = {}
    for family in families:
        for sample in family.samples:
            key = (sample.name, *(value for _, value in sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


def scrape(
    metrics: Metrics | None = None, director: Fake | None = None, accept: str = OPEN
) -> dict[tuple[str, ...], float]:
    text, content_type = (metrics or Metrics()).text(look(director or Fake()), accept)
    parse = open_families if content_type.startswith("application/openmetrics") else plain_families
    return samples(parse(text.decode()))


@pytest.mark.parametrize("accept", [OPEN, "text/plain", ""], ids=["open", "plain", "nothing"])
def test_both_formats_have_the_same_series(accept: str) -> None:
    found = scrape(accept=accept)
    assert found["dr_forwarder_received_frames_total",] == 3
    assert found["dr_forwarder_server_active_connections", "tcp", "10.9.0.12:80", "10.9.0.100:80"]
    assert {key[0] for key in found if key[0].startswith(PREFIX)} == {
        family.whole_name for family in FAMILIES
    }


def test_names_follow_the_conventions() -> None:
    """Base units last, ``_total`` for counters alone: what promtool's linter asks for."""
    for family in FAMILIES:
        assert re.fullmatch(r"dr_forwarder_[a-z_]+", family.whole_name)
        assert not re.search(r"_(total|count|sum|bucket|info|ms|us|ns|minutes)$", family.name)
        assert ("_bytes" in family.whole_name) == ("bytes" in family.text.lower())
        assert family.whole_name.endswith("_total") == (family.kind is Kind.COUNTER)
        assert family.text.endswith(".")
    assert DURATION.endswith("_seconds")


def test_every_counter_of_a_server_is_there() -> None:
    found = scrape()
    of_second = {
        name.removeprefix("dr_forwarder_server_"): value
        for (name, *labels), value in found.items()
        if labels == ["tcp", "10.9.0.12:80", "10.9.0.100:80"]
    }
    assert of_second == {
        "connections_total": 7,
        "packets_total": 8,
        "bytes_total": 9,
        "weight": 3,
        "active_connections": 4,
        "inactive_connections": 5,
        "persistence_templates": 6,
        "overloaded": 1,
        "mac_known": 1,
        "up": 1,
        "check_failures": 0,
    }


def test_every_worker_has_its_part_of_the_frames() -> None:
    found = scrape()
    for name, expected in {
        "received_frames": [1, 2],
        "forwarded_frames": [1, 1],
        "ring_dropped_frames": [0, 5],
        "wakeups": [1, 2],
    }.items():
        series = [found[f"dr_forwarder_worker_{name}_total", number] for number in "01"]
        assert series == expected


def test_a_service_is_named_as_ipvsadm_names_it() -> None:
    found = scrape()
    names = {tuple(key[1:]) for key in found if key[0] == "dr_forwarder_service_packets_total"}
    assert names == {
        ("tcp", "10.9.0.100:80"),
        ("fwm", "7"),
        ("fwm6", "7"),
        ("udp", "[2001:db8::1]:53"),
    }


def test_a_server_that_was_not_checked_yet_is_neither_up_nor_down() -> None:
    found = scrape()
    states = {key[1:]: value for key, value in found.items() if key[0] == "dr_forwarder_server_up"}
    assert found["dr_forwarder_server_check_failures", "tcp", "10.9.0.11:80", "10.9.0.100:80"] == 3
    assert states == {
        ("tcp", "10.9.0.11:80", "10.9.0.100:80"): 0,
        ("tcp", "10.9.0.12:80", "10.9.0.100:80"): 1,
    }


@given(
    st.dictionaries(st.sampled_from(["forwarded", "no_mac", "own_frame"]), st.integers(0, 2**63))
)
def test_the_books_balance_in_every_scrape(verdicts: dict[str, int]) -> None:
    """Values are 64-bit floats on the wire, exact up to 2**53."""
    small = {name: count >> 12 for name, count in verdicts.items()}
    counters = replace(EMPTY, frames=sum(small.values()), verdicts=small)
    found = scrape(director=Fake(counters=counters))
    assert found["dr_forwarder_received_frames_total",] == sum(
        value for key, value in found.items() if key[0] == "dr_forwarder_frames_total"
    )


def test_durations_are_a_histogram_by_result() -> None:
    metrics = Metrics()
    checked = target(WEB, WEB.real[0])
    for passed, took_s in ((True, 0.004), (True, 0.2), (False, 3.0)):
        metrics.observe(checked, Result(passed, "", took_s))
    found = scrape(metrics)
    duration = "dr_forwarder_check_duration_seconds"
    assert found[f"{duration}_count", "http", "passed", "10.9.0.11:8080"] == 2
    assert found[f"{duration}_sum", "http", "passed", "10.9.0.11:8080"] == pytest.approx(0.204)
    assert found[f"{duration}_count", "http", "failed", "10.9.0.11:8080"] == 1
    assert found[f"{duration}_bucket", "http", "0.005", "passed", "10.9.0.11:8080"] == 1


def test_what_is_not_checked_any_more_leaves_no_series() -> None:
    metrics = Metrics()
    kept, gone = target(WEB, WEB.real[1]), target(WEB, WEB.real[0])
    for each in (kept, gone):
        metrics.observe(each, Result(True, "", 0.01))
    metrics.forget([kept])
    servers = {key[-1] for key in scrape(metrics) if key[0].endswith("duration_seconds_count")}
    assert servers == {"10.9.0.12:80"}


DEPLOY = Path(__file__).parent.parent / "deploy"


def dashboard_expressions() -> list[str]:
    board = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    variables = [each["query"] for each in board["templating"]["list"]]
    queries = [each["query"] for each in variables if isinstance(each, dict)]
    return [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())] + (
        queries
    )


def alert_expressions() -> list[str]:
    return re.findall(r"^ +expr: (.+)$", (DEPLOY / "prometheus-alerts.yml").read_text(), re.M)


@pytest.mark.parametrize(
    ("expressions", "least"), [(dashboard_expressions(), 25), (alert_expressions(), 6)]
)
def test_what_is_deployed_asks_for_what_there_is(expressions: list[str], least: int) -> None:
    metrics = Metrics()
    metrics.observe(target(WEB, WEB.real[0]), Result(True, "", 0.01))
    there = {key[0] for key in scrape(metrics)}
    assert len(expressions) >= least
    for expression in expressions:
        asked = set(re.findall(r"\bdr_forwarder_\w+", expression))
        assert asked
        assert asked <= there
        assert_balanced(expression)


def assert_balanced(expression: str) -> None:
    for opening, closing in ("()", "[]", "{}"):
        assert expression.count(opening) == expression.count(closing)


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    panels = json.loads((DEPLOY / "grafana-dashboard.json").read_text())["panels"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)
