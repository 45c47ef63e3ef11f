"""LDAP (RFC 4511): bind, then read one entry. `ldap3` makes and reads the messages.

Only its codec is used: its connections block, and a server that hangs would hold a thread.
"""

from __future__ import annotations

from typing import Any, Final

from ldap3 import ANONYMOUS, BASE, DEREF_NEVER
from ldap3.operation.bind import bind_operation
from ldap3.operation.search import search_operation
from ldap3.protocol.rfc4511 import (
    LDAPDN,
    LDAPMessage,
    MessageID,
    ProtocolOp,
    Simple,
    UnbindRequest,
)
from ldap3.utils.asn1 import decode_message_fast, encode, ldap_result_to_dict_fast

from dr_forwarder.checks import receive
from dr_forwarder.checks.dialogue import Dialogue, dialogue
from dr_forwarder.checks.model import CheckError, Target, octets

_MESSAGE_BYTES: Final = 64 * 1024
"""An entry comes without its attributes, so there is little more in a message than a name."""
_SEQUENCE: Final = 0x30
_BIND_RESPONSE, _ENTRY, _DONE, _REFERENCE = 1, 4, 5, 19
_BIND, _SEARCH = 1, 2
"""The numbers of our two messages."""


async def check(target: Target) -> str:
    """Passes when there is exactly one such entry, and `receive`, if any, is in its name."""
    check = target.check
    name = check.request.removeprefix("/")
    async with dialogue(target, encrypted=check.service == "ldaps") as server:
        bind = bind_operation(3, ANONYMOUS)
        if check.login and check.password:
            # The file's bytes as they are: the library would prepare or refuse some.
            bind["name"] = LDAPDN(octets(check.login))
            bind["authentication"]["simple"] = Simple(octets(check.password))
        await _say(server, _BIND, "bindRequest", bind)
        _require_success(await _hear(server, _BIND, (_BIND_RESPONSE,)), "bind")
        search = search_operation(
            search_base=octets(name),
            search_filter="(objectClass=*)",
            search_scope=BASE,
            dereference_aliases=DEREF_NEVER,
            attributes=["1.1"],
            size_limit=0,
            time_limit=0,
            types_only=True,
            auto_escape=False,
            auto_encode=False,
        )
        await _say(server, _SEARCH, "searchRequest", search)
        names = await _found(server)
        await _say(server, _SEARCH + 1, "unbindRequest", UnbindRequest())
    if len(names) != 1:
        raise CheckError(f"{len(names)} entries of {name!r}, not one")
    shown = repr(names[0].decode("utf-8", "replace"))
    await receive.require(target, names[0], where=f"name {shown}")
    return f"found {shown}"


async def _say(server: Dialogue, number: int, kind: str, operation: object) -> None:
    message = LDAPMessage()
    message["messageID"] = MessageID(number)
    message["protocolOp"] = ProtocolOp().setComponentByName(kind, operation)
    await server.send(encode(message))


async def _found(server: Dialogue) -> list[bytes]:
    names: list[bytes] = []
    while True:
        operation, payload = await _hear(server, _SEARCH, (_ENTRY, _DONE, _REFERENCE))
        if operation == _DONE:
            _require_success((operation, payload), "search")
            return names
        if operation == _ENTRY:
            if len(names) > 1:
                raise CheckError("more than one entry")
            names.append(_name(payload))


def _name(payload: Any) -> bytes:
    try:
        return bytes(payload[0][3])
    except Exception as error:
        raise CheckError("answered no LDAP entry") from error


async def _hear(server: Dialogue, number: int, kinds: tuple[int, ...]) -> tuple[int, Any]:
    """The operation of the next message, which must be of these kinds, and its parts."""
    header = await server.hear_bytes(2)
    length = header[1]
    if length & 0x80:
        header += (more := await server.hear_bytes(min(length & 0x7F, 8)))
        length = int.from_bytes(more)
    if header[0] != _SEQUENCE or length > _MESSAGE_BYTES:
        raise CheckError("answered no LDAP message")
    try:
        message = decode_message_fast(header + await server.hear_bytes(length))
        kind = int(message["protocolOp"])
        matches = message["messageID"] == number
    except CheckError:
        raise
    except Exception as error:
        # The library names no errors for what cannot be decoded.
        raise CheckError(f"answered no LDAP message: {error!r}") from error
    if not matches or kind not in kinds:
        raise CheckError(f"answered with LDAP operation {kind}")
    return kind, message["payload"]


def _require_success(answer: tuple[int, Any], what: str) -> None:
    try:
        result = ldap_result_to_dict_fast(answer[1])
    except Exception as error:
        raise CheckError(f"{what}: answered no LDAP result") from error
    if result["result"] != 0:
        text = f" ({result['message']})" if result["message"] else ""
        raise CheckError(f"{what}: {result['description']}{text}")
