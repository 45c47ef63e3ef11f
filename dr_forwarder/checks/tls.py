"""TLS: what every check that speaks it does alike. Verified is only what the file asks for.

By default no certificate is: most real servers have one for the service's name, not their address,
and a check asks whether the server works. One that verifies nothing has nothing to protect either:
it takes every version, cipher and key that the library can do, as some client of the server may.
"""

from __future__ import annotations

import functools
import os
import ssl
from typing import Final

from dr_forwarder.checks.model import CheckError, Target, os_reason
from dr_forwarder.config.model import Check

_LEGACY_SERVER_CONNECT: Final = 0x4
"""OpenSSL's number; Python names it from 3.12 on. Servers without RFC 5746."""


def context(check: Check) -> ssl.SSLContext:
    """With `ca_file` instead of the system's authorities, read again when it has changed."""
    path = check.ca_file
    try:
        return _context(check.verify_cert, path, os.stat(path).st_mtime_ns if path else 0)
    except OSError as error:
        raise CheckError(f"ca_file {path}: {os_reason(error)}") from error


@functools.lru_cache(maxsize=64)
def _context(verify: bool, path: str | None, changed_ns: int) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=path if verify else None)
    if verify:
        # As the system's OpenSSL has it; Python's own list lacks what some servers need.
        made.set_ciphers("DEFAULT")
        return made
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    made.set_ciphers("ALL:@SECLEVEL=0")
    made.options |= _LEGACY_SERVER_CONNECT | ssl.OP_IGNORE_UNEXPECTED_EOF
    return made


def server_name(target: Target) -> str:
    """The name that is asked for (SNI) and verified; an address is verified but never asked for."""
    return target.check.sni or str(target.address)
