"""Refusals: an errno of the kernel's, or of the director's, in ipvsadm's words. Pure."""

from __future__ import annotations

import errno
import os

from .options import Verb

_SERVICE_MISSING = "No such service"
_NOT_DEFINED = "Service not defined"
_NO_ENGINE = "Scheduler or persistence engine not found"
_NO_DESTINATION = "No such destination"
_OF_COMMAND = {
    (Verb.ADD_SERVICE, errno.EEXIST): "Service already exists",
    (Verb.ADD_SERVICE, errno.ENOENT): _NO_ENGINE,
    (Verb.EDIT_SERVICE, errno.ESRCH): _SERVICE_MISSING,
    (Verb.EDIT_SERVICE, errno.ENOENT): _NO_ENGINE,
    (Verb.DELETE_SERVICE, errno.ESRCH): _SERVICE_MISSING,
    (Verb.ZERO, errno.ESRCH): _SERVICE_MISSING,
    (Verb.LIST, errno.ESRCH): _SERVICE_MISSING,
    (Verb.ADD_SERVER, errno.ESRCH): _NOT_DEFINED,
    (Verb.ADD_SERVER, errno.EEXIST): "Destination already exists",
    (Verb.EDIT_SERVER, errno.ESRCH): _NOT_DEFINED,
    (Verb.EDIT_SERVER, errno.ENOENT): _NO_DESTINATION,
    (Verb.DELETE_SERVER, errno.ESRCH): _NOT_DEFINED,
    (Verb.DELETE_SERVER, errno.ENOENT): _NO_DESTINATION,
    (Verb.START_DAEMON, errno.EEXIST): "Daemon has already run",
    (Verb.STOP_DAEMON, errno.ESRCH): "No daemon is running",
}
_ALWAYS = {
    errno.EPERM: "Permission denied (you must be root)",
    errno.EINVAL: "Invalid operation.  Possibly wrong module version, address not unicast, ...",
    errno.ENOPROTOOPT: "Protocol not available",
    errno.ENOMEM: "Memory allocation problem",
    errno.EOPNOTSUPP: "Operation not supported with IPv6",
    errno.EAFNOSUPPORT: "Operation not supported with specified address family",
    errno.EMSGSIZE: "Module is wrong version",
}


def text(verb: Verb | None, number: int) -> str:
    """What ipvsadm says; ``verb`` is None where it has not looked at its command line yet."""
    if verb is not None and (verb, number) in _OF_COMMAND:
        return _OF_COMMAND[verb, number]
    return _ALWAYS.get(number) or os.strerror(number)
