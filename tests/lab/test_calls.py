"""Every call's documented example, made to a director that a user would run."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from calls import agrees, check, operation
from running import CONFIG, Running, running, wait_until

from dr_forwarder import exchange
from dr_forwarder.api.calls import Call
from dr_forwarder.api.routes import CALLS
from dr_forwarder.lab import Lab


@pytest.fixture(scope="module")
def director(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The tutorial's cluster, after one request, and a packet to a port that nobody serves."""
    with running(lab, tmp_path_factory.mktemp("calls"), CONFIG, servers=2) as director:
        wait_until(lambda: all(row.mac for row in director.servers()), "MAC addresses are known")
        lab.requests(1)
        with lab.namespace("client").socket(socket.AF_INET, socket.SOCK_DGRAM, 0) as client:
            client.sendto(b"", ("10.10.10.60", 9))
        wait_until(lambda: director.verdict("no_service") > 0, "it is dropped")
        yield director


def answer(director: Running, call: Call) -> Any:
    """What the example's call is answered; of a stream, its lines."""
    control = str(director.state_dir / "control")
    path = f"/v1{call.example.path or call.path}"
    if call.lines:
        lines = exchange.lines(control, path, limit_s=5)
        return [json.loads(line) for line in islice(lines, len(call.example.answer))]
    body = None if call.example.body is None else json.dumps(call.example.body).encode()
    answered = exchange.exchange(control, call.method, path, body, limit_s=5)
    assert answered.status == 200, answered.body
    return json.loads(answered.body)


# In the table's order, which is that of a story: what is looked at first is changed later.
@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.method} {call.path}")
def test_the_example_is_answered_as_documented(director: Running, call: Call) -> None:
    said = answer(director, call)
    (media,) = operation(call.method, call.path)["responses"]["200"]["content"].values()
    for each in said if call.lines else [said]:
        check(media["schema"], each)
    if call.example.more:
        said = said[: len(call.example.answer)]
    assert agrees(call.example.answer, said), said
