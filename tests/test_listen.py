"""The address of metrics and page, as it is written."""

from __future__ import annotations

import pytest

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
