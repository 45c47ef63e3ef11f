"""The page in a real browser, of a director that forwards real frames.

With PICTURES=1 in the environment the pictures in docs/pictures are made anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from browsing import browsing, passage, visitors
from running import CONFIG, Running, running, wait_until

from dr_forwarder.lab import Lab

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
LIMIT_MS = 30_000
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
TEXT = (
    CONFIG
    + """\
virtual=10.10.10.60:443
        real=10.10.10.62:443 gate
        real=10.10.10.63:443 gate
        checktype=on
        persistent=300
"""
)
HOSTILE = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>'


@dataclass
class Site:
    """The page, and what is behind it."""

    lab: Lab
    director: Running
    browser: Any
    url: str

    def open(self, *, size: dict[str, int] = DESKTOP, dark: bool = False) -> Any:
        """The page once it has drawn; what its script complains of fails the test."""
        context = self.browser.new_context(
            viewport=size,
            color_scheme="dark" if dark else "light",
            device_scale_factor=2 if size is PHONE else 1,
            locale="en-GB",
        )
        context.set_default_timeout(LIMIT_MS)
        page = context.new_page()
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto(self.url)
        page.wait_for_selector("#cluster svg")
        return page

    def close(self, page: Any) -> None:
        assert page.complaints == []
        page.context.close()


@pytest.fixture(scope="module")
def site(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with (
        running(lab, tmp_path_factory.mktemp("page"), TEXT, "--listen", ":9700", servers=4) as it,
        browsing() as browser,
        passage(lab, 9700) as url,
    ):
        yield Site(lab, it, browser, url)


@pytest.fixture
def page(site: Site) -> Iterator[Any]:
    opened = site.open()
    yield opened
    site.close(opened)


def picture(page: Any, name: str) -> None:
    """As the docs show it."""
    if os.environ.get("PICTURES"):
        PICTURES.mkdir(exist_ok=True)
        # The curve of the frames has some length, and the rates are what they tend to.
        until(page, "document.querySelector('#history path').getAttribute('d').length > 150", 60)
        page.screenshot(path=PICTURES / f"{name}.png", full_page=True, animations="disabled")


RATES = "[...document.querySelectorAll('#cluster .rate')].filter(t => t.textContent !== '0/s')"
FRAMES = "parseFloat(document.querySelector('#frames').innerText)"


def until(page: Any, expression: str, limit_s: float = LIMIT_MS / 1000) -> None:
    """Waits for it to hold. The page forbids what wait_for_function does."""

    def holds() -> bool:
        page.wait_for_timeout(20)
        return bool(page.evaluate(expression))

    wait_until(holds, expression, limit_s=limit_s)


def flowing(page: Any, arrows: int) -> None:
    """Waits until so many arrows have a rate, and frames come in."""
    until(page, f"{RATES}.length === {arrows} && {FRAMES} > 9")


def texts(page: Any, selector: str) -> list[str]:
    return [text.strip() for text in page.locator(selector).all_text_contents()]


def test_the_page_shows_the_cluster_with_its_rates(site: Site, page: Any) -> None:
    with visitors(site.lab):
        flowing(page, arrows=3)
        picture(page, "page-light")
    assert texts(page, "#servers .name") == ["10.10.10.62:80", "10.10.10.63:80"]
    assert texts(page, "#servers .badge") == ["up", "up"]
    assert texts(page, "#servers .why") == ["HTTP 200 OK"] * 2
    assert texts(page, "#health") == ["4 up"]
    assert texts(page, "#books") == ["balance"]
    assert "Running: 2 virtual servers" in texts(page, "#events")[0]
    label = page.locator("#cluster svg").get_attribute("aria-label")
    assert label.startswith("tcp 10.10.10.60:80 has 2 real servers: 10.10.10.62:80 up")


def test_the_frames_on_the_page_balance(page: Any) -> None:
    numbers = [int(text.replace(",", "")) for text in texts(page, "#verdicts td:nth-child(2)")]
    assert sum(numbers[:-1]) == numbers[-1] > 0


def test_another_service_is_drawn_when_it_is_chosen(page: Any) -> None:
    page.get_by_role("button", name="tcp 10.10.10.60:443").click()
    until(page, "document.querySelector('#servers .name').innerText === '10.10.10.62:443'")
    assert page.locator("nav [aria-pressed=true]").inner_text() == "tcp 10.10.10.60:443"


def test_a_server_that_goes_down_is_shown_with_its_reason(site: Site) -> None:
    page = site.open(dark=True)
    with visitors(site.lab):
        site.lab.stop_web("vm3")
        try:
            page.wait_for_selector("#servers .badge.down")
            flowing(page, arrows=2)
            page.fill("#wanted", "10.10.10.10 established")
            page.click("button[name=find]")
            page.wait_for_selector("#found .note")
            assert texts(page, "#cluster .down .small") == ["connection refused"]
            assert texts(page, "#servers .why.down") == ["connection refused"]
            assert page.title() == "(1 down) dr_forwarder"
            said = "Check of 10.10.10.63:80: down (connection refused)"
            assert any(said in text for text in texts(page, "#events li"))
            page.fill("#wanted", "10.10.10.10:40000")
            page.click("button[name=explain]")
            page.wait_for_selector("#found p:not(.note)")
            picture(page, "page-dark")
            phone = site.open(size=PHONE)
            flowing(phone, arrows=2)
            picture(phone, "page-phone")
            site.close(phone)
        finally:
            site.lab.start_web("vm3")
        until(page, "!document.querySelector('#servers .badge.down')")
    site.close(page)


def test_connections_are_found_and_explained(site: Site, page: Any) -> None:
    site.lab.requests(2)
    page.fill("#wanted", "10.10.10.10 :80")
    page.keyboard.press("Enter")
    page.wait_for_selector("#found tbody tr")
    client = page.locator("#found td").first.inner_text()
    page.locator("#found button").first.click()
    page.wait_for_selector("#found p:not(.note)")
    assert texts(page, "#found p")[0].startswith(f"TCP {client} to 10.10.10.60:80 is in the table")


def test_a_question_that_cannot_be_answered_is_told(page: Any) -> None:
    page.fill("#wanted", "nobody")
    page.click("button[name=explain]")
    page.wait_for_selector("#found .wrong")
    assert texts(page, "#found .wrong") == ["'nobody' is not like 10.0.0.9, or 10.0.0.9:40000"]
    # The browser writes down that the answer was 400.
    page.complaints = [each for each in page.complaints if "400" not in each]


def test_no_text_of_a_server_becomes_part_of_the_page(site: Site, page: Any) -> None:
    said = page.evaluate("fetch('page/look').then(answer => answer.json())")
    said["chosen"]["servers"][0] |= {"reason": HOSTILE, "server": HOSTILE, "state": "down"}
    said["chosen"]["name"] = said["services"][0]["name"] = HOSTILE
    said["stats"]["verdicts"][HOSTILE] = 1
    page.route("**/page/look*", lambda route: route.fulfill(json=said))
    page.route(
        "**/page/events*",
        lambda route: route.fulfill(
            json={
                "last": 1,
                "events": [{"number": 1, "at_s": 0, "kind": HOSTILE, "text": HOSTILE}],
            }
        ),
    )
    until(page, "document.querySelector('#servers .name').innerText.includes('<img')")
    assert page.locator("body img, body script:not([src])").count() == 0
    assert page.evaluate("window.hurt") is None
    assert HOSTILE in texts(page, "#events li")[0]


OUTSIDE = """
[...document.querySelectorAll('section, #figures > div, #cluster svg > *')]
  .filter(each => each.getBoundingClientRect().right > innerWidth).length
"""


def test_nothing_sticks_out_at_any_width(page: Any) -> None:
    for width in (320, 390, 768, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 844})
        until(page, f"innerWidth === {width} && {OUTSIDE} === 0")
        assert page.evaluate("document.documentElement.scrollWidth") == width


CONTRAST = """
(() => {
  const light = (rgb) => rgb.map(c => c / 255)
    .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const probe = document.body.appendChild(document.createElement("i"));
  const colour = (name) => {
    probe.style.color = `var(--${name})`;
    return light(getComputedStyle(probe).color.match(/[0-9.]+/g).slice(0, 3).map(Number));
  };
  const pairs = ["text", "soft", "mark", "up", "down", "quiet"]
    .flatMap(name => ["card", "back", "sunk"].map(under => [name, under]))
    .concat(["up", "down", "quiet"].map(name => [name, `${name}-back`]));
  return pairs.map(([name, under]) => {
    const [high, low] = [colour(name), colour(under)].sort((a, b) => b - a);
    return [name, under, (high + 0.05) / (low + 0.05)];
  });
})()
"""


def test_every_text_can_be_read(page: Any) -> None:
    """WCAG 2.2, 1.4.3: at least 4.5 to 1."""
    backgrounds = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert [pair for pair in page.evaluate(CONTRAST) if pair[2] < 4.5] == []
        backgrounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(backgrounds) == 2


def test_a_server_is_drained_and_enabled_where_that_is_allowed(
    own_lab: Lab, site: Site, tmp_path: Path
) -> None:
    assert site.open().locator("#servers button").first.is_hidden()
    options = ("--listen", ":9700", "--listen-writable")
    with (
        running(own_lab, tmp_path, CONFIG, *options, servers=2) as it,
        passage(own_lab, 9700) as url,
    ):
        page = Site(own_lab, it, site.browser, url).open()
        page.on("dialog", lambda dialog: dialog.accept())
        row = page.locator("#servers tbody tr").first
        for verb, said in (("drain", "drained"), ("disable", "disabled")):
            row.get_by_role("button", name=verb).click()
            until(page, f"document.querySelector('#servers .why').innerText.startsWith('{said}')")
            assert it.weights() == {".62": 0, ".63": 1}
            row.get_by_role("button", name="enable").click()
            wait_until(lambda: it.weights() == {".62": 1, ".63": 1}, "enabled")
            until(page, "document.querySelector('#servers .badge').innerText === 'up'")
        site.close(page)


def test_a_director_that_is_gone_is_told_and_waited_for(site: Site) -> None:
    page = site.open()
    assert site.director.stop() == 0
    page.wait_for_selector("#state.lost")
    site.director.start(TEXT)
    page.wait_for_selector("#state.fine")
    page.context.close()
