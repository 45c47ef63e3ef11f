"""Printable: a text of strangers as a terminal or a log may have it. Pure, imports nothing."""

from __future__ import annotations

_KEPT = "\n\t"


def printable(text: str) -> str:
    """The same, with escapes for all that would command a terminal or turn what is read around.

    Those are the control characters of C0 and C1, bidirectional overrides, what is invisible, and
    surrogates; ends of lines and tabs stay.
    """
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(c if c.isprintable() or c in _KEPT else _escaped(c) for c in text)


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")
