"""Mail: hands over what `alerts` says is due, by SMTP or sendmail. Nothing waits for it.

The libraries of e-mail are imported with the first one, for frames do not wait for them either.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import getpass
import logging
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING

from ..director import Director
from ..events import Happening
from .alerts import Alerts, Mail
from .background import Background

if TYPE_CHECKING:
    from email.message import EmailMessage

_log = logging.getLogger(__name__)

_SMTP_PORT = 25
_TICK_S = 1.0
_LIMIT_S = 10.0
"""For each step of a conversation with a mail server, for sendmail, and for what is left at the
end."""
_SENDMAIL_PATH = os.pathsep.join(("/usr/sbin", "/usr/lib", "/usr/local/sbin"))


def message(mail: Mail, envelope_sender: str) -> EmailMessage:
    """As it goes over the wire."""
    from email.message import EmailMessage
    from email.utils import formatdate, make_msgid

    written = EmailMessage()
    written["From"] = mail.sender or envelope_sender
    written["To"] = mail.to
    # What a server answers may be part of it; a header is one line.
    written["Subject"] = " ".join(mail.subject.split())
    written["Date"] = formatdate(localtime=True)
    written["Message-ID"] = make_msgid(domain=envelope_sender.partition("@")[2] or None)
    written["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's vacation is to answer
    written.set_content(mail.body)
    return written


def send(mail: Mail) -> None:
    """Hands one mail over, in a conversation of its own; raises OSError, as SMTPException is."""
    import smtplib

    sender = f"{_user()}@{socket.gethostname()}"
    if mail.smtp is None:
        _by_sendmail(mail, sender)
        return
    host, port = _server(mail.smtp)
    with smtplib.SMTP(host, port, timeout=_LIMIT_S) as server:
        server.send_message(message(mail, sender), from_addr=sender, to_addrs=[mail.to])


def _by_sendmail(mail: Mail, sender: str) -> None:
    program = shutil.which("sendmail") or shutil.which("sendmail", path=_SENDMAIL_PATH)
    if program is None:
        raise FileNotFoundError("there is no sendmail program; name a mail server: smtp=HOST")
    try:
        subprocess.run(
            [program, "-i", "-f", sender, "--", mail.to],
            input=bytes(message(mail, sender)),
            check=True,
            capture_output=True,
            timeout=_LIMIT_S,
        )
    except subprocess.SubprocessError as error:
        raise OSError(str(error)) from error


def _server(written: str) -> tuple[str, int]:
    """A host, and a port if one is written: ``mail``, ``mail:2525``, ``[::1]:25``."""
    if written.startswith("[") or written.count(":") == 1:
        host, _, port = written.rpartition(":") if not written.endswith("]") else (written, "", "")
        return host.strip("[]"), int(port) if port.isdecimal() else _SMTP_PORT
    return written, _SMTP_PORT


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"  # a container's user may have no name


@contextlib.asynccontextmanager
async def mailing(
    director: Director, *, send: Callable[[Mail], None] = send
) -> AsyncIterator[None]:
    """Mails as long as the context lasts, and at the end what is left."""
    clock = asyncio.get_running_loop().time
    alerts, config = Alerts(socket.gethostname()), director.config
    alerts.configure(config)
    post = Background("e-mail")

    def hand_over(mails: Iterable[Mail]) -> None:
        for mail in mails:
            _log.info("emailalert: %s", mail.subject)
            post.do(functools.partial(_reported, mail, send))

    def hear(happening: Happening) -> None:
        nonlocal config
        if director.config is not config:
            config = director.config
            alerts.configure(config)
        alerts.heard(happening, now_s=clock())

    async def tick_for_ever() -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            hand_over(alerts.due(now_s=clock()))

    deafen = director.events.listen(hear)
    ticking = asyncio.create_task(tick_for_ever())
    try:
        yield
    finally:
        ticking.cancel()
        deafen()
        hand_over(alerts.due(now_s=clock()))
        if not await asyncio.to_thread(post.close, limit_s=_LIMIT_S):
            _log.error("e-mail: not everything could be sent within %g s", _LIMIT_S)


def _reported(mail: Mail, send: Callable[[Mail], None]) -> None:
    try:
        send(mail)
    except (OSError, ValueError) as error:
        _log.error("e-mail to %s could not be sent: %s: %s", mail.to, error, mail.subject)
