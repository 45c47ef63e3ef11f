"""Connection: one conversation as an asyncio transport, with its timer and its quiet port."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any, Final

from .conversation import Conversation, State
from .segments import Segment

_AGAIN_S: Final = 0.3
"""What is not acknowledged is said again; on one wire an answer takes far less."""


_Receiver = asyncio.Protocol | asyncio.BufferedProtocol


class Connection(asyncio.Transport):
    """To one VIP at one MAC address; what is received goes to the protocol, as with any other.

    Reading is never paused: no more than a window comes between two turns of the event loop.
    """

    _start_tls_compatible = True  # asyncio asks for it by this name

    def __init__(self, *, most: int, send: Callable[[Segment], None], on_end: Callable[[], None]):
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._conversation = Conversation(oldest=secrets.randbits(32), most=most)
        self._send = send
        self._on_end = on_end
        self._protocol: _Receiver = asyncio.Protocol()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closing = False
        self.opened: asyncio.Future[None] = self._loop.create_future()
        """Done when the peer has accepted; ConnectionRefusedError when it will not."""
        self._say_due()

    # ---- The conversation ----

    def heard(self, segment: Segment) -> None:
        """Takes a segment of the peer's."""
        if self._is_closing:
            return
        before = self._conversation.state
        self._conversation, data = self._conversation.heard(segment)
        after = self._conversation.state
        if after in (State.OPEN, State.ENDED) and Conversation.is_answered(segment):
            self._send(self._conversation.acknowledgement())
        if data:
            self._hand_over(data)
        if after is not before and not self._is_closing:
            self._turned(after)
        if not self._is_closing:
            self._say_due()

    def _hand_over(self, data: bytes) -> None:
        if isinstance(self._protocol, asyncio.Protocol):
            self._protocol.data_received(data)
            return
        left = memoryview(data)
        while left:
            room = memoryview(self._protocol.get_buffer(len(left)))
            count = min(len(room), len(left))
            room[:count] = left[:count]
            self._protocol.buffer_updated(count)
            left = left[count:]

    def _turned(self, state: State) -> None:
        match state:
            case State.OPEN:
                if not self.opened.done():
                    self.opened.set_result(None)
            case State.ENDED:
                # A protocol that does not ask to stay open is done (asyncio's eof_received).
                if not self._protocol.eof_received():
                    self.close()
            case State.REFUSED:
                if not self.opened.done():
                    self.opened.set_exception(ConnectionRefusedError())
                self._end(None)
            case State.RESET:
                self._end(ConnectionResetError())

    def _say_due(self) -> None:
        self._conversation, segments = self._conversation.due()
        for segment in segments:
            self._send(segment)
        if self._timer is None and self._conversation.is_waiting:
            self._timer = self._loop.call_later(_AGAIN_S, self._say_again)

    def _say_again(self) -> None:
        self._timer = None
        self._conversation = self._conversation.again()
        self._say_due()

    def _end(self, error: Exception | None) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        if self._timer is not None:
            self._timer.cancel()
        self._on_end()
        self._loop.call_soon(self._protocol.connection_lost, error)

    # ---- What asyncio asks of a transport ----

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Says it, now or when the peer has room."""
        if not self._is_closing:
            self._conversation = self._conversation.say(bytes(data))
            self._say_due()

    def close(self) -> None:
        """Ends it at once, for nobody waits for what a check has not said."""
        self.abort()

    def abort(self) -> None:
        """Ends it by a RST."""
        if not self._is_closing:
            self._send(self._conversation.reset())
            self._end(None)

    def _force_close(self, error: BaseException | None) -> None:
        """What asyncio's TLS calls when it gives up."""
        self.abort()

    def is_closing(self) -> bool:
        """True once it has ended."""
        return self._is_closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Who is told from now on."""
        assert isinstance(protocol, asyncio.Protocol | asyncio.BufferedProtocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is told."""
        return self._protocol

    def can_write_eof(self) -> bool:
        """No: it ends both ways or not at all."""
        return False

    def pause_reading(self) -> None:
        """Nothing: see above."""

    def resume_reading(self) -> None:
        """Nothing: see above."""

    def get_write_buffer_size(self) -> int:
        """Bytes that the peer has not acknowledged."""
        return len(self._conversation.waiting)
