"""Errors of the lab, by whose fault they are."""

from __future__ import annotations

from dr_forwarder.errors import ForwarderError


class LabError(ForwarderError):
    """Something asked of a lab could not be done; the sentence says what and why."""


class LabUnavailable(LabError):  # noqa: N818 -- a state of the host, and read as one
    """This host does not let us build a lab; the line says why and what would cure it."""

    def __init__(self, reason: str, *, cure: str) -> None:
        super().__init__(f"no lab on this host: {reason}; {cure}")
        self.reason = reason
        self.cure = cure
