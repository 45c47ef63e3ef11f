"""SMTP and submission (RFC 5321): greeting, EHLO or HELO, QUIT. No mail is sent."""

from __future__ import annotations

from typing import Final

import aiosmtplib

from dr_forwarder.checks.model import CheckError, Target

_OUR_NAME: Final = "dr-forwarder.invalid"


async def check(target: Target) -> str:
    """Passes when the server greets and accepts the hello."""
    server = aiosmtplib.SMTP(
        hostname=str(target.address),
        port=target.port,
        # Ours, so that nobody looks one up.
        local_hostname=_OUR_NAME,
        timeout=None,
        start_tls=False,
    )
    try:
        await server.connect()
        try:
            answer = await server.ehlo()
        except aiosmtplib.SMTPHeloError:
            answer = await server.helo()
        await server.quit()
    except aiosmtplib.SMTPResponseException as error:
        raise CheckError(f"answered {error.code} {error.message}") from error
    except (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPConnectError) as error:
        raise _reason(error) from None
    finally:
        server.close()
    return f"{answer.code} {answer.message}"


def _reason(error: aiosmtplib.SMTPException) -> Exception:
    """The system's own error, if that is what the library wrapped; its own are OSErrors too."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, OSError) and not isinstance(cause, aiosmtplib.SMTPException):
        return cause
    return CheckError("connection closed without an answer")
