"""What a running director serves to those who look.

With PICTURES=1 in the environment the picture of the live screen in docs/pictures is made anew.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from browsing import visitors
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from running import CONFIG, LIMIT_S, UNCHECKED, Running, running, wait_until

from dr_forwarder.lab import Lab
from dr_forwarder.top.source import Far

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"

ADDRESS = ("127.0.0.1", 9700)
OPEN = "application/openmetrics-text; version=1.0.0"


def get(lab: Lab, path: str, accept: str = "*/*") -> tuple[str, str]:
    """Head and body, asked for by the director's own host."""
    with lab.namespace("director").socket(socket.AF_INET, socket.SOCK_STREAM, 0) as asking:
        asking.settimeout(5)
        asking.connect(ADDRESS)
        asking.sendall(
            f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nAccept: {accept}\r\n\r\n".encode()
        )
        said = b"".join(iter(lambda: asking.recv(65536), b"")).decode()
    head, _, body = said.partition("\r\n\r\n")
    return head, body


def scrape(lab: Lab) -> dict[tuple[str, ...], float]:
    head, body = get(lab, "/metrics", OPEN)
    assert head.startswith("HTTP/1.0 200 OK")
    assert "Content-Type: application/openmetrics-text" in head
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


def test_metrics_of_a_running_director_balance(own_lab: Lab, tmp_path: Path) -> None:
    with running(own_lab, tmp_path, UNCHECKED, "--listen", ":9700", servers=2):
        assert len(own_lab.requests(4)) == 4
        found = scrape(own_lab)
        vm2, vm3 = (("tcp", f"10.10.10.{last}:80", "10.10.10.60:80") for last in (62, 63))
        assert found["dr_forwarder_service_connections_total", "tcp", "10.10.10.60:80"] == 4
        assert found["dr_forwarder_server_connections_total", *vm2] == 2
        assert found["dr_forwarder_received_frames_total",] == sum(
            value for key, value in found.items() if key[0] == "dr_forwarder_frames_total"
        )
        assert found["dr_forwarder_server_up", *vm3] == 1


def test_a_reload_leaves_no_series_of_what_is_gone(own_lab: Lab, tmp_path: Path) -> None:
    def checked() -> set[str]:
        return {key[-1] for key in scrape(own_lab) if key[0].endswith("seconds_count")}

    with running(own_lab, tmp_path, UNCHECKED, "--listen", ":9700", servers=2) as director:
        both = {"10.10.10.62:80", "10.10.10.63:80"}
        wait_until(lambda: checked() == both, "both have been checked")
        director.reload(UNCHECKED.replace("        real=10.10.10.63:80 gate\n", ""))
        wait_until(lambda: checked() == {"10.10.10.62:80"}, "one is left")


def test_an_address_that_is_taken_is_told_with_the_cure(own_lab: Lab, tmp_path: Path) -> None:
    with own_lab.namespace("director").socket(socket.AF_INET, socket.SOCK_STREAM, 0) as taken:
        taken.bind(ADDRESS)
        taken.listen()
        director = Running(own_lab, tmp_path, "--listen", ":9700")
        director.start(UNCHECKED)
        wait_until(lambda: director.ended, "the director has given up")
        assert director.stop() == 1
        director.expect("listen 127.0.0.1:9700: address already in use; choose another")


# ---- The live screen ----


def without_outside(svg: str) -> str:
    """Without the address of a font, which a viewer would ask for."""
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


def test_the_live_screen_shows_and_steers_a_running_director(own_lab: Lab, tmp_path: Path) -> None:
    screen = pytest.importorskip("dr_forwarder.top.screen", reason="textual is not installed")

    async def scenario(director: Running) -> None:
        app = screen.Top(Far(director.client), every_s=0.2)
        async with app.run_test(size=(118, 24)) as pilot:

            async def until(condition: Callable[[], object]) -> None:
                async with asyncio.timeout(LIMIT_S * 2):
                    while not condition():
                        await pilot.pause(0.05)

            def rows() -> list[tuple[str, ...]]:
                table = app.query_one("#servers")
                return [
                    tuple(str(cell) for cell in table.get_row_at(number)[1:])
                    for number in range(table.row_count)
                ]

            await until(lambda: len(rows()) == 2 and int(rows()[0][6]) > 9)
            await asyncio.to_thread(own_lab.stop_web, "vm3")
            await until(lambda: rows()[1][1] == "down")
            assert rows()[1][-1] == "connection refused"
            if os.environ.get("PICTURES"):
                await asyncio.sleep(6)  # the rates are averages over some seconds
                svg = app.export_screenshot(title="dr-forwarder top")
                (PICTURES / "top.svg").write_text(without_outside(svg))
            await pilot.press("d")
            await until(lambda: rows()[0][1] == "quiet" and rows()[0][-1].startswith("drain"))
            await pilot.press("e")
            await until(lambda: rows()[0][1] == "up")

    with running(own_lab, tmp_path, CONFIG, servers=2) as director, visitors(own_lab):
        asyncio.run(scenario(director))
        assert director.weights() == {".62": 1}
