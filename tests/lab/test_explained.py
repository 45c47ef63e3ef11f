"""The page of explanations in a real browser. It needs no lab, but what drives the browser is here.

With PICTURES=1 in the environment the pictures in docs/pictures are made anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import captures
import pytest
from browsing import browsing
from director import tcp

from dr_forwarder.config import load
from dr_forwarder.explanation.page import page as page_of
from dr_forwarder.replay import Replay

TESTS = Path(__file__).parents[1]
PICTURES = TESTS.parent / "docs" / "pictures"
FRAMES = [
    tcp("S", "10.10.10.10:40000", "10.10.10.60:80"),
    tcp("S", "10.10.10.10:40000", "10.10.10.60:81"),
]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("explained")
    capture = directory / "web.pcap"
    capture.write_bytes(captures.pcap([(captures.BEGAN_NS, frame) for frame in FRAMES]))
    with Replay(load(TESTS / "data" / "tutorial.cf"), capture) as run:
        text = page_of("What the director would have done with web.pcap", list(run.records()))
    path = directory / "page.html"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing() as browser:
        yield browser


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [("explained-dark", 900, "dark"), ("explained-phone", 390, "light")],
)
def test_it_fits_the_screen_and_asks_for_nothing_else(
    browser: Any, file: Path, name: str, width: int, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    asked: list[str] = []
    complaints: list[str] = []
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.querySelectorAll('section, .arrow')].length") == 5
    red, green, blue = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    )
    assert (red + green + blue < 150) == (scheme == "dark")
    # No table is cut off.
    assert page.evaluate(
        "[...document.querySelectorAll('.scroll')].every(x => x.scrollWidth <= x.clientWidth)"
    )
    # The arrows begin and end below their parties.
    middles = page.evaluate(
        """[...document.querySelectorAll('section:first-of-type .parties > div')].map(each => {
            const box = each.getBoundingClientRect(); return box.left + box.width / 2; })"""
    )
    arrows = page.evaluate(
        """[...document.querySelectorAll('section:first-of-type .arrow')].map(each => {
            const box = each.getBoundingClientRect(); return [box.left, box.right]; })"""
    )
    for arrow, ends in zip(arrows, (middles[:2], middles[1:]), strict=True):
        assert arrow == pytest.approx(ends, abs=4)
    assert (asked, complaints) == ([file.as_uri()], [])
    if os.environ.get("PICTURES"):
        page.screenshot(path=PICTURES / f"{name}.png", full_page=True)
    context.close()
