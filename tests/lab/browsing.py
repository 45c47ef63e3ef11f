"""A browser, and a way for it into the director's host."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from dr_forwarder.lab import Lab

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@contextlib.contextmanager
def browsing() -> Iterator[Any]:
    """A headless Chromium; skips where there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: the page is not tested"
    )
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium here: apt-get install chromium; the page is not tested")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Passage:
    """Connections to a port of the loopback go on to a port of the director's own."""

    def __init__(self, lab: Lab, port: int) -> None:
        self._lab = lab
        self._target = ("127.0.0.1", port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._open: list[socket.socket] = [self._listening]
        self._is_closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._is_closed = True
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            far = self._lab.namespace("director").socket(socket.AF_INET, socket.SOCK_STREAM, 0)
            self._open += (near, far)
            if self._is_closed:  # meanwhile, so close() may not have met these
                near.close()
                far.close()
                return
            try:
                far.connect(self._target)
            except OSError:
                near.close()
                continue
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=_carry, args=(one, other), daemon=True).start()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def passage(lab: Lab, port: int) -> Iterator[str]:
    """The address of the page as the browser has it."""
    way = Passage(lab, port)
    try:
        yield f"http://127.0.0.1:{way.port}/"
    finally:
        way.close()


@contextlib.contextmanager
def visitors(lab: Lab) -> Iterator[None]:
    """Clients that ask, one after the other, as long as the context lasts.

    They are several, because one may wait for a server that has just gone.
    """
    enough = threading.Event()

    def ask() -> None:
        while not enough.wait(0.05):
            with contextlib.suppress(OSError):
                lab.requests(1)

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for each in asking:
        each.start()
    try:
        yield
    finally:
        enough.set()
        for each in asking:
            each.join()
