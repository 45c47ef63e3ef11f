"""Event log: what happens, written to the log, in ldirectord's phrases where it has them."""

from __future__ import annotations

import logging

from .events import (
    ChangeRefused,
    Happening,
    MacConflict,
    MacLearned,
    Reloaded,
    ReloadFailed,
    Started,
    VipConflict,
)
from .ldirectord.phrases import phrase

_log = logging.getLogger(__name__)


def log(happening: Happening) -> None:
    """Listens to the bus."""
    event = happening.event
    match event:
        case MacLearned(address, mac):
            _log.info("Real server %s is at %s", address, mac.hex(":"))
        case MacConflict(address, mac, other):
            text = "Real server %s: %s claims its address too; %s still answers and is kept"
            _log.warning(text, address, other.hex(":"), mac.hex(":"))
        case VipConflict(vip, mac, blame):
            _log.warning("VIP %s is claimed by %s: %s", vip, mac.hex(":"), blame)
        case ChangeRefused(what, errno):
            _log.error("%s: refused: errno %d", what, errno)
        case Started(virtuals):
            _log.info("Running: %d virtual servers", virtuals)
        case Reloaded(path):
            _log.info("Reloaded %s", path)
        case ReloadFailed(_, reason):
            _log.error("%s", reason)
            _log.error("Not reloaded: the director goes on as it was")
        case _:
            if (text_ := phrase(event, happening.phase)) is not None:
                _log.info("%s", text_)
