"""What the director's own host lacks takes no server out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import changing
import pytest
from running import CONFIG, Running, running, wait_until

from dr_forwarder.interfaces import state_now
from dr_forwarder.lab import Lab

Change = Callable[[Lab], None]
TROUBLES = [
    pytest.param(changing.lose_addresses, changing.put_addresses, id="its address is gone"),
    pytest.param(changing.set_down, changing.set_up, id="its link is down"),
    pytest.param(changing.unplug, changing.plug_in, id="its cable is out"),
]


@pytest.fixture
def own_lab(possible: None) -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def hindered(director: Running) -> list[bool]:
    return [row["hindrance"] is not None for row in director.client.get("health")]


@pytest.mark.parametrize(("lose", "find"), TROUBLES)
def test_servers_stay_as_they_are_while(
    lose: Change, find: Change, own_lab: Lab, tmp_path: Path
) -> None:
    with running(own_lab, tmp_path, CONFIG) as director:
        lose(own_lab)
        wait_until(lambda: all(hindered(director)), "no check can be carried out", limit_s=30)
        assert all(row["up"] for row in director.client.get("health"))
        find(own_lab)
        wait_until(lambda: not any(hindered(director)), "checks are carried out", limit_s=30)
        assert director.stop() == 0, director.log
        assert "down (" not in director.log
        assert director.log.count("Checks cannot be carried out") >= 1
        director.expect("Checks are carried out again")


@pytest.mark.parametrize(("lose", "find"), TROUBLES[1:])
def test_a_link_is_asked_itself_when_a_check_fails(
    lose: Change, find: Change, own_lab: Lab
) -> None:
    """What netlink says of it comes later than the failure."""
    director = own_lab.namespace("director")
    lose(own_lab)
    wait_until(lambda: director.run(state_now, "eth0") == "down", "it is down")
    find(own_lab)
    wait_until(lambda: director.run(state_now, "eth0") == "up", "it is up")
    assert director.run(state_now, "eth9") == "gone"
