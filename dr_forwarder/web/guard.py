"""Guard: who may ask, and what a browser may do with the answer.

A page of somebody else's whose name is made to resolve to this address (DNS rebinding) has its own
name as host, and one that merely sends here has its own origin. /metrics is asked by Prometheus
under any name it likes, and has nothing that a login would protect.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from ipaddress import ip_address
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

HEADERS: Final = {
    # Nothing of the page comes from anywhere else, nobody else may frame it, and no text can
    # become a script.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none';"
    " form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
OPEN: Final = "/metrics"
_PORT: Final = re.compile(r":\d+$")


def guard(names: Collection[str]) -> Middleware:
    """Lets those in who ask by address, as localhost, by the host's own name, or one of these."""
    ours = {name.lower() for name in ("localhost", os.uname().nodename, *names)}

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = _PORT.sub("", request.host).lower()
        if request.path != OPEN and host not in ours and not _is_address(host):
            raise web.HTTPForbidden(
                text="Ask by address, or have the name in listen_names under [director].\n"
            )
        if _is_cross_site(request):
            raise web.HTTPForbidden(text="Asked by a page of another site.\n")
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and origin.partition("://")[2] != request.host:
            raise web.HTTPForbidden(text="Asked by a page of another origin.\n")
        if request.method != hdrs.METH_GET and origin is None:
            raise web.HTTPForbidden(text="Only the page itself may change things.\n")
        return await handler(request)

    return guarded


async def harden(_request: web.Request, answer: web.StreamResponse) -> None:
    """Puts the headers on every answer, refusals included."""
    answer.headers.update(HEADERS)


def _is_cross_site(request: web.Request) -> bool:
    """Says the browser (Fetch Metadata, W3C); a link to the page itself may stand anywhere."""
    followed = request.path == "/" and request.headers.get("Sec-Fetch-Mode") == "navigate"
    return request.headers.get("Sec-Fetch-Site") == "cross-site" and not followed


def _is_address(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
