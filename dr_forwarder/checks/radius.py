"""RADIUS (RFC 2865): an Access-Request with login, passwd and secret."""

from __future__ import annotations

import functools
import io
from typing import Final

from pyrad.dictionary import Dictionary
from pyrad.packet import AccessAccept, AccessReject, AuthPacket

from dr_forwarder.checks import datagram
from dr_forwarder.checks.model import CheckError, Target, octets

_AGAIN_S: Final = 1.0
_ATTRIBUTES: Final = """\
ATTRIBUTE User-Name 1 string
ATTRIBUTE User-Password 2 octets
ATTRIBUTE NAS-Identifier 32 string
ATTRIBUTE Message-Authenticator 80 octets
"""


async def check(target: Target) -> str:
    """Passes on an Access-Accept whose authenticator proves that the server has the secret."""
    check = target.check
    asked = AuthPacket(
        secret=octets(check.secret),
        dict=_dictionary(),
        authenticator=AuthPacket.CreateAuthenticator(),
    )
    asked.AddAttribute("User-Name", octets(check.login))
    asked.AddAttribute("User-Password", asked.PwCrypt(octets(check.password)))
    asked.AddAttribute("NAS-Identifier", "dr_forwarder")
    # Servers may drop what has none, since CVE-2024-3596.
    asked.add_message_authenticator()
    question = asked.RequestPacket()
    return await datagram.ask(
        target, question, every_s=_AGAIN_S, judge=functools.partial(_judge, asked)
    )


@functools.cache
def _dictionary() -> Dictionary:
    return Dictionary(io.StringIO(_ATTRIBUTES))


def _judge(asked: AuthPacket, data: bytes) -> str | None:
    try:
        answer = asked.CreateReply(packet=data)
        proved = asked.VerifyReply(answer, data)
    except Exception as error:
        # The library names no errors for what cannot be decoded.
        raise CheckError(f"not a RADIUS answer: {error}") from error
    if answer.id != asked.id:
        return None
    if not proved:
        raise CheckError("the answer does not fit the secret")
    if answer.code == AccessReject:
        raise CheckError("Access-Reject")
    if answer.code != AccessAccept:
        raise CheckError(f"answered with code {answer.code}, not Access-Accept")
    return "Access-Accept"
