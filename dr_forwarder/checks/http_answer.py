"""HTTP answers as servers give them, read as browsers and ldirectord's library read them.

A check asks whether a server serves; how well it knows the standard (RFC 9112) is not the question.
So whatever can be understood is, and what has no meaning for a check is passed over. Nothing is
waited for that is not needed, and nothing is without a limit.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from typing import Final

from dr_forwarder.checks.model import CheckError
from dr_forwarder.checks.stream import Stream

BODY_BYTES: Final = 1024 * 1024
"""So much of a body is looked at."""
_HEAD_BYTES: Final = 1024 * 1024
_WIRE_BYTES: Final = 4 * 1024 * 1024
"""So much is taken in all, however it is wrapped."""
_LINE_BYTES: Final = 16 * 1024
"""Of a chunk's size, which may have extensions."""
_CHUNKS: Final = 64 * 1024
_INTERIM: Final = 20
"""Answers of 1xx before the answer."""
_SWITCHING: Final = 101

# ICY: Shoutcast. A number may have zeros before it, blanks around it, or be missing (then it is
# 200: browsers and ldirectord's library say so too).
_STATUS: Final = re.compile(
    r"(?:HTTP|ICY)(?:/\S*)?(?:\s+0*(\d+)(\D.*)?|(?:\s+(\D.*))?)", re.IGNORECASE | re.DOTALL
)
_BLANK_LINES: Final = 8
"""Before the answer."""
_LENGTH: Final = re.compile(r"\s*\+?([0-9]{1,15})(?![\w.])")
_CHUNK_SIZE: Final = re.compile(rb"\s*([0-9A-Fa-f]{1,15})\s*(?:;.*)?", re.DOTALL)
_CHARSET: Final = re.compile(r";\s*charset\s*=\s*[\"']?([\w.:+-]+)", re.IGNORECASE)
# Services that speak first: a page without a status line (HTTP/0.9) does not begin so.
_GREETING: Final = re.compile(
    rb"\d{3}[ -]|SSH-|\+OK|-ERR|\* (?:OK|BYE|PREAUTH)|RFB |AMQP|@RSYNCD|RTSP/|SIP/"
)
_NO_TEXT: Final = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_FIRST_BYTES: Final = 512


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered."""

    status: int
    phrase: str
    headers: dict[str, str] = field(default_factory=dict)
    """By their names in lower case; of several that are named alike the first."""
    body: bytes = b""
    """Its first `BODY_BYTES`, as they came."""

    @property
    def charset(self) -> str | None:
        """That the server declares."""
        found = _CHARSET.search(self.headers.get("content-type", ""))
        return found and found[1]

    def decoded(self) -> bytes | None:
        """The body without its compression, None if it has none that is known.

        Nobody asked for it, and browsers would not mind.
        """
        codings = ",".join(
            self.headers.get(name, "") for name in ("content-encoding", "transfer-encoding")
        )
        if not re.search("gzip|deflate", codings, re.IGNORECASE):
            return None
        for kind in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):
            try:
                return zlib.decompressobj(kind).decompress(self.body, BODY_BYTES)
            except zlib.error:
                pass
        return None


async def read(stream: Stream, *, has_body: bool = True) -> Answer:
    """The next answer. Raises CheckError, and OSError where nothing else is known.

    `has_body` is false for what HEAD and CONNECT bring.
    """
    source = _Source(stream)
    for _ in range(_INTERIM):
        answer = await _head(source)
        if not 100 <= answer.status < 200 or answer.status == _SWITCHING:
            break
    else:
        raise CheckError(f"more than {_INTERIM} interim answers, the last HTTP {answer.status}")
    if not has_body or answer.status in (_SWITCHING, 204, 304):
        return answer
    body = await _body(source, answer)
    return Answer(answer.status, answer.phrase, answer.headers, body)


# ---- Parts ----


async def _head(source: _Source) -> Answer:
    left = _HEAD_BYTES
    line: bytes | None = b""
    for _ in range(_BLANK_LINES):
        if line == b"":
            line = await source.line(left)
    if not line:
        what = (
            "connection closed without an answer" if line is None else "not an HTTP answer: blank"
        )
        raise CheckError(what)
    found = _STATUS.fullmatch(_text(line).lstrip("\ufeff").strip())
    if found is None:
        source.put_back()
        return await _page_alone(source)
    number, phrase, alone = found.groups(default="")
    headers: dict[str, str] = {}
    name = ""
    # The end of the connection ends the headers too: there are scripts that print a status alone.
    while line := await source.line(left := left - len(line)):
        name = _take(headers, line.decode("latin-1"), name)
    return Answer(int(number[:9] or 200), (phrase or alone).strip(), headers)


def _take(headers: dict[str, str], line: str, before: str) -> str:
    """Takes one line of the headers; returns the name of the header that the next may go on."""
    written, colon, value = line.partition(":")
    name, value = written.strip().lower(), value.strip()
    if line[0] in " \t" and before:
        headers[before] += f" {line.strip()}"  # RFC 9112 section 5.2: obsolete line folding
        return before
    if not colon:
        return before
    if name == "content-length":
        # The last that is one, as ldirectord's library has it.
        if (length := _LENGTH.match(value)) is None:
            return before
        headers[name] = length[1]
    elif name == "transfer-encoding" and name in headers:
        headers[name] += f", {value}"
    else:
        headers.setdefault(name, value)
    return name


def _text(line: bytes) -> str:
    """For people to read: nobody says what it is written in."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


async def _page_alone(source: _Source) -> Answer:
    """HTTP/0.9: no status line, no headers, and so little to tell it from what is no HTTP."""
    first = await source.first(_FIRST_BYTES)
    if _GREETING.match(first) or _NO_TEXT.search(first):
        raise CheckError(f"not an HTTP answer: {_text(first.splitlines()[0][:60])}")
    return Answer(200, "(no status line: HTTP/0.9)")


async def _body(source: _Source, answer: Answer) -> bytes:
    """As far as it is looked at; raises CheckError if it is cut short, as browsers do."""
    codings = answer.headers.get("transfer-encoding", "").lower().replace(" ", "").split(",")
    if "chunked" in codings:
        return await _chunks(source)
    length = answer.headers.get("content-length")
    if length is None:
        return await _until_the_end(source)
    return await source.exactly(min(int(length), BODY_BYTES))


async def _until_the_end(source: _Source) -> bytes:
    body = bytearray()
    while len(body) < BODY_BYTES:
        try:
            data = await source.some()
        except ConnectionError:
            break  # the end all the same
        if not data:
            break
        body += data
    return bytes(body[:BODY_BYTES])


async def _chunks(source: _Source) -> bytes:
    """RFC 9112 section 7.1. What comes after the last one is of no interest."""
    body = bytearray()
    for _ in range(_CHUNKS):
        if len(body) >= BODY_BYTES or source.is_exhausted:
            break
        line = await source.line(_LINE_BYTES)
        if line is None:
            raise CheckError("connection closed within the body")
        found = _CHUNK_SIZE.fullmatch(line)
        if found is None:
            raise CheckError(f"a chunk of the body has no size: {_text(line[:40])}")
        size = int(found[1], 16)
        if size == 0:
            break
        body += await source.exactly(min(size, BODY_BYTES - len(body)))
        if len(body) < BODY_BYTES and await source.line(_LINE_BYTES):
            raise CheckError("a chunk of the body is longer than its size")
    return bytes(body)


class _Source:
    """Lines and bytes of a stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._held = bytearray()
        self._taken = 0
        self._last = b""

    @property
    def is_exhausted(self) -> bool:
        """No more is taken from the stream."""
        return self._taken >= _WIRE_BYTES

    async def line(self, limit: int) -> bytes | None:
        """The next one without its end, be it CRLF or LF; None when nothing comes any more."""
        looked = 0
        while (end := self._held.find(b"\n", looked)) < 0:
            looked = len(self._held)
            if looked > limit:
                raise _too_long()
            if not await self._more():
                if not looked:
                    return None
                end = looked
                break
        if end > limit:
            raise _too_long()
        self._last = bytes(self._held[: end + 1])
        del self._held[: end + 1]
        return self._last.removesuffix(b"\n").removesuffix(b"\r")

    def put_back(self) -> None:
        """The last line was none."""
        self._held[:0] = self._last

    async def first(self, count: int) -> bytes:
        """So many of those that come next, or less at the end; they still come."""
        while len(self._held) < count and await self._more():
            pass
        return bytes(self._held[:count])

    async def some(self) -> bytes:
        """What has come or comes next; nothing at the end."""
        if not self._held:
            await self._more()
        data = bytes(self._held)
        self._held.clear()
        return data

    async def exactly(self, count: int) -> bytes:
        """So many. Raises CheckError at the end of the connection."""
        while len(self._held) < count:
            try:
                came = await self._more()
            except ConnectionError:
                came = False
            if not came:
                raise CheckError("connection closed within the body")
        data = bytes(self._held[:count])
        del self._held[:count]
        return data

    async def _more(self) -> bool:
        data = b"" if self.is_exhausted else await self._stream.receive()
        self._taken += len(data)
        self._held += data
        return bool(data)


def _too_long() -> CheckError:
    return CheckError("not an HTTP answer: its headers, or a chunk's size, have no end")
