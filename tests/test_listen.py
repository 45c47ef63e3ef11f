"""The address of metrics and page, as it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from dr_forwarder.config import ConfigError
from dr_forwarder.ldirectord import service
from dr_forwarder.listen import parse

WRITTEN = [
    ("127.0.0.1:9700", "127.0.0.1:9700"),
    ("[::1]:9700", "[::1]:9700"),
    ("0.0.0.0:80", "0.0.0.0:80"),
    (":9700", "127.0.0.1:9700"),
    (" 9700 ", "127.0.0.1:9700"),
]
WRONG = ["", "host:80", "127.0.0.1", "127.0.0.1:", ":0", ":65536", "::1:80", "[127.0.0.1]:80", ":٣"]


@pytest.mark.parametrize(("text", "meant"), WRITTEN)
def test_an_address_is_read_and_a_port_alone_is_the_loopbacks(text: str, meant: str) -> None:
    assert str(parse(text)) == meant


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_address_and_port_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be ADDRESS:PORT, like 127\.0\.0\.1:9700"):
        parse(text)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "ldirectord.cf"
    written.write_text("virtual=192.0.2.1:80\n    real=10.0.0.1:80 gate\n    checktype=on\n")
    return written


def test_under_ldirectords_name_the_environment_says_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert service.read(file).settings.listen is None
    monkeypatch.setenv(service.LISTEN_VARIABLE, ":9700")
    assert str(service.read(file).settings.listen) == "127.0.0.1:9700"


def test_what_the_environment_says_wrong_is_a_configuration_error(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(service.LISTEN_VARIABLE, "here")
    with pytest.raises(ConfigError, match=r"DR_FORWARDER_LISTEN.*must be ADDRESS:PORT"):
        service.read(file)
