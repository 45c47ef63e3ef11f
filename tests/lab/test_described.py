"""Whatever the OpenAPI document allows, and what it forbids, asked of a director that runs: each
answer is one that the document has, and none is a fault of ours.

Calls are made by schemathesis from the document; the same ones each time.
"""

from __future__ import annotations

import http.client
import io
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from calls import DOCUMENT, check, operation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running import CONFIG, Running, running

from dr_forwarder.api.calls import Call
from dr_forwarder.api.openapi import LINES
from dr_forwarder.api.routes import CALLS
from dr_forwarder.lab import Lab

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis, from PyPI")

import requests  # noqa: E402 - schemathesis brings it
from requests.adapters import HTTPAdapter  # noqa: E402
from urllib3.response import HTTPResponse  # noqa: E402

EXAMPLES = 20
"""Of each call and kind."""
LIMIT_S = 10.0
OURS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


class Unix(HTTPAdapter):
    """Brings a request to the director's socket. Of an endless answer it has the head."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def send(
        self, request: requests.PreparedRequest, stream: bool = False, **_: Any
    ) -> requests.Response:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.settimeout(LIMIT_S)
            connection.sock.connect(str(self._path))
            headers = dict(request.headers)
            connection.request(request.method or "", request.path_url, request.body, headers)
            said = connection.getresponse()
            is_endless = said.status == 200 and stream
            body = io.BytesIO(b"" if is_endless else said.read())
        finally:
            connection.close()
        raw = HTTPResponse(
            body, said.getheaders(), said.status, reason=said.reason, preload_content=False
        )
        return self.build_response(request, raw)


@pytest.fixture(scope="module")
def director(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(lab, tmp_path_factory.mktemp("described"), CONFIG, servers=2) as director:
        yield director


@pytest.fixture(scope="module")
def asking(director: Running) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.mount("http://", Unix(director.state_dir / "control"))
        yield session


def assert_answered_as_documented(asking: requests.Session, call: Call, case: Any) -> None:
    """What is wrong raises; streams are looked at line by line."""
    what = requests.Request(**case.as_transport_kwargs(base_url="http://localhost"))
    answer = asking.send(asking.prepare_request(what), stream=call.endless)
    if answer.status_code == 200 and call.lines:
        assert answer.headers["Content-Type"] == LINES
        (media,) = operation(call.method, call.path)["responses"]["200"]["content"].values()
        for line in answer.content.splitlines():
            check(media["schema"], json.loads(line))
        return
    checks = [each for each in schemathesis.checks.CHECKS.get_all() if each.__name__ in OURS]
    assert len(checks) == len(OURS)
    case.validate_response(answer, checks=checks)


schemathesis.openapi.format("ip", st.ip_addresses().map(str))


def asked() -> Iterator[Any]:
    """Each call as it is meant, and in ways that are not, where there is anything to get wrong."""
    for call in CALLS:
        name = f"{call.method} {call.path}"
        yield pytest.param(call, schemathesis.GenerationMode.POSITIVE, id=name)
        if call.parameters is not None or call.body is not None:
            yield pytest.param(call, schemathesis.GenerationMode.NEGATIVE, id=f"{name}, wrongly")


@pytest.mark.parametrize(("call", "mode"), [*asked()])
def test_every_answer_is_one_that_is_documented(
    director: Running, asking: requests.Session, call: Call, mode: Any
) -> None:
    described = schemathesis.openapi.from_dict(DOCUMENT)[f"/v1{call.path}"][call.method]

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=described.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        assert_answered_as_documented(asking, call, case)

    ask()
    assert not director.ended
    assert "Traceback" not in director.log
