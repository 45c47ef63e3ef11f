"""Receive: is the configured regular expression in the answer? Within bounded time, always.

ldirectord compares bytes, whatever they mean; so do we, first. Then what the bytes are as text is
looked at too, for which `.` is any letter and not one byte of it.
"""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from dr_forwarder.checks import looker
from dr_forwarder.checks.model import CheckError, Target
from dr_forwarder.config.patterns import compiled, compiled_bytes

# A pattern that backtracks must hold up no other check, and neither its library's time limit nor a
# thread makes sure of that. So the event loop itself looks only for plain words, and for others
# in short texts and for so long; all else is looked for in a process.
_AT_ONCE_S: Final = 0.005
_AT_ONCE_LENGTH: Final = 4096
_AT_MOST_S: Final = 1.0
_SPECIAL: Final = frozenset("\\^$.|?*+()[]{}")


@dataclass(slots=True)
class Patience:
    """How long all looks of one check may take together, in seconds."""

    left_s: float = _AT_MOST_S
    at_once_s: float = _AT_ONCE_S
    clock: Callable[[], float] = field(default=time.perf_counter)


async def require(
    target: Target, answer: bytes | str, *, where: str, charset: str | None = None
) -> None:
    """Raises CheckError unless `receive` is found in it; an empty one always is.

    Of bytes, `charset` is what the server says they are in.
    """
    receive = target.check.receive
    if receive and not await found(receive, answer, charset=charset):
        raise CheckError(f"{where} lacks {shown(receive)}")


def shown(receive: str) -> str:
    """The expression in a reason."""
    return f"/{_as_text(receive)}/"


async def found(
    receive: str,
    answer: bytes | str,
    *,
    charset: str | None = None,
    patience: Patience | None = None,
) -> bool:
    """Raises CheckError when it takes too long to tell, or is no regular expression.

    `patience` is shared by those who look many times.
    """
    patience = patience or Patience()
    try:
        for pattern, text in _looks(receive, answer, charset):
            if await _search(receive, pattern, text, patience):
                return True
    except ValueError as error:
        raise CheckError(f"receive is not a regular expression: {error}") from error
    return False


def _looks(
    receive: str, answer: bytes | str, charset: str | None
) -> Iterator[tuple[Any, bytes | str]]:
    """Patterns and what to search for them, until one is found."""
    if isinstance(answer, str):
        yield compiled(_as_text(receive)), answer
        return
    pattern = compiled_bytes(receive)
    if pattern is not None:
        yield pattern, answer
    if pattern is None or charset or not (receive.isascii() and answer.isascii()):
        yield compiled(_as_text(receive)), _decoded(answer, charset)


def _as_text(receive: str) -> str:
    """A file that is not UTF-8 has its bytes escaped (PEP 383); they are Latin-1 then."""
    if any("\udc80" <= letter <= "\udcff" for letter in receive):
        return receive.encode("utf-8", "surrogateescape").decode("latin-1")
    return receive


def _decoded(answer: bytes, charset: str | None) -> str:
    """As the server says, else UTF-8 if it is that, else Latin-1, in which every byte is a letter.

    Python's codecs are not all of charsets, and one raises always: `hex`, `idna`, `undefined`.
    """
    try:
        codec = codecs.lookup(charset) if charset else None
        if codec is not None and getattr(codec, "_is_text_encoding", False):
            return answer.decode(codec.name, "replace")
        return answer.decode("utf-8")
    except (LookupError, ValueError):
        return answer.decode("latin-1")


async def _search(receive: str, pattern: Any, text: bytes | str, patience: Patience) -> bool:
    if _SPECIAL.isdisjoint(receive):
        return pattern.search(text) is not None
    began_s = patience.clock()
    try:
        if patience.at_once_s > 0 and len(text) <= _AT_ONCE_LENGTH:
            return pattern.search(text, timeout=patience.at_once_s) is not None
    except TimeoutError:
        pass
    finally:
        patience.at_once_s -= patience.clock() - began_s
    asked = receive if isinstance(text, bytes) else _as_text(receive)
    try:
        if patience.left_s <= 0:
            raise TimeoutError
        hit, spent_s = await looker.ours().search(asked, text, patience.left_s)
    except TimeoutError as error:
        patience.left_s = 0
        raise CheckError(
            f"{shown(receive)} backtracks for over {_AT_MOST_S:g} s: simplify it"
        ) from error
    patience.left_s -= spent_s
    patience.at_once_s = _AT_ONCE_S  # others have had their turn
    return hit
