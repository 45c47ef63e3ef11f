"""What a check cannot do without is found when the file is read, with line and cure."""

from __future__ import annotations

import logging.handlers
from pathlib import Path

import pytest

from dr_forwarder.config import ConfigError, load_text
from dr_forwarder.config.model import Config
from dr_forwarder.config.needs import FACILITIES, LIBRARIES, Host, hold

THERE = Host(installed=lambda _: True, unreadable=lambda _: "")
BARE = Host(installed=lambda _: False, unreadable=lambda _: "no such file or directory")


def config(*lines: str) -> Config:
    block = ("virtual=192.0.2.1:8000", "real=10.0.0.1:8000 gate", *lines)
    return load_text("\n    ".join(block) + "\n", path="x.cf")


@pytest.mark.parametrize("service", sorted(LIBRARIES))
def test_a_check_without_its_library_is_refused_with_the_extra(service: str) -> None:
    written = config("checktype=negotiate", f"service={service}")
    with pytest.raises(ConfigError) as caught:
        hold(written, BARE)
    library = LIBRARIES[service]
    assert str(caught.value) == (
        f"x.cf:4: error: service {service} needs the Python library {library},"
        " which is not installed: pip install 'dr-forwarder[checks]'"
    )


@pytest.mark.parametrize("kind", ["connect", "ping", "on", "off", "external"])
def test_a_check_that_does_not_negotiate_needs_no_library(kind: str) -> None:
    assert hold(config(f"checktype={kind}", "service=mysql"), BARE)


REFUSED = [
    pytest.param(("checktype=external", 'checkcommand="x \'"'), 4, "close its quotes", id="quote"),
    pytest.param(
        ("service=https", "verify_cert=yes", "ca_file=/no"), 5, "/no cannot be read", id="ca_file"
    ),
]


@pytest.mark.parametrize(("lines", "line", "reason"), REFUSED)
def test_what_cannot_be_begun_is_refused(lines: tuple[str, ...], line: int, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        hold(config(*lines), BARE)
    assert caught.value.line == line


TOLD = [
    pytest.param(("service=mysql",), "needs login and request: its servers are down", id="sql"),
    pytest.param(("service=oracle", 'login="x"', 'request="SELECT 1"'), "the SID", id="oracle"),
    pytest.param(("service=http_proxy",), 'needs request="http', id="proxy"),
    pytest.param(("service=radius",), "needs login, passwd and secret", id="radius"),
    pytest.param(("service=pop", "verify_cert=yes"), "which is not TLS", id="no TLS"),
    pytest.param(("service=https", "ca_file=/x"), "without verify_cert=yes", id="not verified"),
    pytest.param(
        ("service=smtp", "check_through_vip=yes"),
        "check_through_vip does nothing here: service=smtp is not http: use checktype=connect",
        id="no way through the VIP",
    ),
    pytest.param(
        ("checktype=ping", "check_through_vip=yes"), "checktype=ping does not connect", id="ping"
    ),
]


@pytest.mark.parametrize(("lines", "reason"), TOLD)
def test_what_cannot_pass_is_told(lines: tuple[str, ...], reason: str) -> None:
    notices = hold(config(*lines), THERE).notices
    assert any(reason in notice.reason for notice in notices), notices


def test_nothing_is_said_of_what_is_whole() -> None:
    written = ("service=mysql", 'login="x"', 'request="SELECT 1"')
    before = config(*written)
    assert hold(before, THERE).notices == before.notices


def test_listening_without_its_library_is_refused_with_the_extra() -> None:
    written = load_text('[director]\nlisten = ":9700"\n', path="x.toml")
    assert hold(written, THERE) == written
    with pytest.raises(ConfigError) as caught:
        hold(written, BARE)
    assert str(caught.value) == (
        "x.toml:2: error: listen needs the Python library prometheus_client, which is not"
        " installed: pip install 'dr-forwarder[look]'"
    )


def test_a_log_goes_to_a_path_or_to_syslog() -> None:
    names = logging.handlers.SysLogHandler.facility_names
    assert tuple(sorted(names)) == FACILITIES
    assert load_text('logfile="local0"\n', path="x.cf").log_file == "local0"
    with pytest.raises(ConfigError, match=r"an absolute path or a syslog facility .*, not 'log'"):
        load_text('logfile="log"\n', path="x.cf")


def test_a_maintenance_directory_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    def told(where: Path) -> list[str]:
        return [n.reason for n in load_text(f"maintenancedir={where}\n", path="x.cf").notices]

    file = tmp_path / "file"
    file.touch()
    assert told(tmp_path) == []
    assert told(file) == [f"maintenancedir {file}: it is no directory; nobody is in maintenance"]
    (missing,) = told(tmp_path / "no")
    assert "no such file or directory; nobody is in maintenance" in missing
