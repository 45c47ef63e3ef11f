"""Reloads and changes without a pause beside connections that must not notice."""

from __future__ import annotations

import signal
import time

from cluster import CONFIG, Cluster
from kills import Changing
from running import wait_until

STORM_S = 8.0
RELOADS_A_SECOND = 10


def test_reloads_and_changes_without_a_pause(tortured: Cluster) -> None:
    held = tortured.hold()
    changing = Changing(tortured.director.state_dir)
    changing.start()
    sent = 0
    began_s = time.monotonic()
    try:
        while (now_s := time.monotonic() - began_s) < STORM_S:
            if sent < now_s * RELOADS_A_SECOND:
                weight = sent % 3 + 1
                text = CONFIG.replace(".62:7000 gate", f".62:7000 gate {weight}")
                tortured.director.config.write_text(text)
                tortured.director.send(signal.SIGHUP)
                sent += 1
            time.sleep(0.01)
    finally:
        changing.end()
    wait_until(lambda: "Reloaded" in tortured.director.log, "it was reloaded")
    tortured.figures["SIGHUPs"] = str(sent)
    tortured.figures["changes"] = f"{changing.made:,}"
    tortured.assert_unharmed(held)
