"""Patterns: a Perl regular expression as one of the `regex` library. Pure.

That library knows most of Perl's dialect (possessive and atomic groups, recursion, ``\\K``,
``\\h``, ``\\R``, POSIX classes) and can be told a time limit, which ``re`` cannot.
"""

from __future__ import annotations

import functools
import warnings

import regex

_PERL_ONLY = regex.compile(
    r"\\(?:Q(?P<quoted>.*?)(?:\\E|$)|x\{(?P<code>[0-9A-Fa-f]+)\}|k[<{](?P<name>\w+)[>}]|(?P<other>.))",
    regex.DOTALL,
)
# In Perl \Z may stand before a last newline, and only \z is the very end.
_OTHERS = {"Z": r"(?=\n?\Z)", "z": r"\Z", "e": r"\x1b"}


@functools.lru_cache(maxsize=4096)
def compiled(receive: str) -> regex.Pattern[str]:
    """Raises ValueError with what is wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return regex.compile(_PERL_ONLY.sub(_translated, receive))
    except (regex.error, ValueError, RecursionError, OverflowError) as error:
        raise ValueError(str(error)) from error


@functools.lru_cache(maxsize=4096)
def compiled_bytes(receive: str) -> regex.Pattern[bytes] | None:
    """For bytes that are compared as they are; `receive` has the file's own (PEP 383).

    None where it has a letter that is no byte, or what the library knows for text alone. Raises
    ValueError with what is wrong.
    """
    compiled(receive)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain = receive.encode("utf-8", "surrogateescape").decode("latin-1")
            return regex.compile(_PERL_ONLY.sub(_translated, plain).encode("latin-1"))
    except (regex.error, ValueError, RecursionError, OverflowError):
        return None


def _translated(found: regex.Match[str]) -> str:
    quoted, code, name, other = found.group("quoted", "code", "name", "other")
    if quoted is not None:
        return regex.escape(quoted)
    if code is not None:
        return regex.escape(chr(int(code[-7:], 16)))
    if name is not None:
        return f"(?P={name})"
    return _OTHERS.get(other, found.group())
