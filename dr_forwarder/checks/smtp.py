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
    except aiosmtplib.SMTPServerDisconnected as error:
        raise CheckError("connection closed without an answer") from error
    except aiosmtplib.SMTPConnectError as error:
        raise _cause(error) from error
    finally:
        server.close()
    return f"{answer.code} {answer.message}"


def _cause(error: Exception) -> Exception:
    """The system's own error, if that is what the library wrapped."""
    cause = error.__cause__ or error.__context__
    return cause if isinstance(cause, OSError) else CheckError(str(error))
