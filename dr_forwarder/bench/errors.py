"""What may go wrong with a measurement."""

from __future__ import annotations

from ..errors import ForwarderError


class BenchError(ForwarderError):
    """The benchmark cannot be run, or measured something that cannot be."""


class Unavailable(BenchError):  # noqa: N818 - a state of the host, and read as one
    """This host has not what a baseline needs; the text says what."""
