"""HTTP, HTTPS and HTTP proxies: fetch a page by the real server, look at its status and text.

Unlike ldirectord's, a check never leaves the real server: the connection always goes to its
address, and a redirect to any other name is a failure that says where to. Through a proxy it may
lead anywhere: the proxy goes there.
"""

from __future__ import annotations

import contextlib
import re
import ssl
from typing import Final
from urllib.parse import quote

import aiohttp
from yarl import URL

from dr_forwarder.checks import receive, through_vip, tls
from dr_forwarder.checks.model import CheckError, Target, VipPath, os_reason
from dr_forwarder.config.model import endpoint

_BODY_BYTES: Final = 1024 * 1024
_REDIRECTS: Final = 7
_REDIRECT_STATUS: Final = frozenset({301, 302, 303, 307, 308})
# What may stand in a request as it is; everything else is percent-encoded.
_SAFE: Final = "%/:?#[]@!$&'()*+,;=~"
_HOST_NAME: Final = re.compile(r"[\w-]{1,63}(\.[\w-]{1,63})*", re.ASCII)


async def check(target: Target, path: VipPath | None = None) -> str:
    """Passes when the final status is 2xx and `receive`, if any, is found in the body.

    With `path`, every connection goes to the VIP at the real server.
    """
    if target.check.receive and target.check.http_method == "HEAD":
        raise CheckError("httpmethod=HEAD brings no body to look for receive in")
    page = _page(target)
    ours = None if _is_proxy(target) else _names(target, page)
    async with _session(target, path) as session:
        for _ in range(_REDIRECTS + 1):
            try:
                found = await _get(session, target, page)
            except aiohttp.ClientError as error:
                raise CheckError(_reason(error)) from error
            if isinstance(found, str):
                return found
            if ours is not None and found.host not in ours:
                raise CheckError(f"redirected to another server: {found}")
            page = found
    raise CheckError(f"more than {_REDIRECTS} redirects, the last to {page}")


def _is_proxy(target: Target) -> bool:
    return target.check.service == "http_proxy"


def _page(target: Target) -> URL:
    """The page to ask for; a request that is a whole URL names its own host, and maybe port."""
    service = target.check.service
    request = quote(target.check.request, safe=_SAFE)
    # Whoever read the configuration may have put a slash before a whole URL.
    whole = request.removeprefix("/")
    try:
        if _is_proxy(target):
            return _page_behind(whole)
        if whole.startswith(f"{service}://"):
            url = URL(whole, encoded=True)
            return url if url.explicit_port else url.with_port(target.port)
        place = endpoint(target.destination, target.port)
        return URL(f"{service}://{place}{request}", encoded=True)
    except ValueError as error:
        raise CheckError(f"request is not a URL: {error}") from error


def _page_behind(whole: str) -> URL:
    url = URL(whole, encoded=True)
    if url.scheme not in ("http", "https") or not url.host:
        raise CheckError('http_proxy needs a whole URL: request="http://example.com/"')
    return url


def _names(target: Target, page: URL) -> frozenset[str | None]:
    """The names a redirect may use for this very server."""
    virtual_host = target.check.virtual_host or ""
    return frozenset({page.host, str(target.destination), _without_port(virtual_host).lower()})


def _session(target: Target, path: VipPath | None) -> aiohttp.ClientSession:
    """New for every check (20 us): nothing of one check can linger into the next."""
    verify = tls.context(target.check)
    connector: aiohttp.BaseConnector
    if path is None:
        connector = aiohttp.TCPConnector(force_close=True, limit=0, ssl=verify)
    else:
        connector = through_vip.Connector(target, path, verify)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        skip_auto_headers=["Accept-Encoding"],
        headers={"User-Agent": "dr_forwarder"},
    )


async def _get(session: aiohttp.ClientSession, target: Target, page: URL) -> str | URL:
    """What was seen, or where the server redirects to."""
    async with _request(session, target, page) as answer:
        location = answer.headers.get("Location")
        if answer.status in _REDIRECT_STATUS and location:
            return _join(page, location)
        return await _judge(answer, target)


def _request(
    session: aiohttp.ClientSession, target: Target, page: URL
) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]:
    method = target.check.http_method
    if _is_proxy(target):
        proxy = URL(f"http://{endpoint(target.address, target.port)}")
        return session.request(method, page, proxy=proxy, allow_redirects=False)
    host = target.check.virtual_host or ""
    name = target.check.sni or _without_port(host)
    return session.request(
        method,
        page.with_host(str(target.destination)),
        # Without a virtualhost the bare address: ldirectord never writes the port.
        headers={"Host": host or page.host_subcomponent or ""},
        allow_redirects=False,
        server_hostname=name if _HOST_NAME.fullmatch(name) else None,
    )


def _without_port(host: str) -> str:
    return re.sub(r":\d+$", "", host)


def _join(here: URL, location: str) -> URL:
    try:
        there = here.join(URL(location))
    except ValueError as error:
        raise CheckError(f"redirected to no URL: {location}") from error
    if there.scheme not in ("http", "https"):
        raise CheckError(f"redirected to another server: {there}")
    return there


async def _judge(answer: aiohttp.ClientResponse, target: Target) -> str:
    status = f"HTTP {answer.status} {answer.reason}"
    if not 200 <= answer.status < 300:
        raise CheckError(status)
    body = await _body(answer)
    where = "the first MiB of the body" if len(body) >= _BODY_BYTES else "body"
    await receive.require(target, _text(body, answer.charset), where=where)
    return status


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    """Read even when nothing is looked for: a page that never ends loading is not up."""
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) >= _BODY_BYTES:
            break
    return bytes(body[:_BODY_BYTES])


def _text(body: bytes, charset: str | None) -> str:
    try:
        return body.decode(charset or "latin-1", errors="replace")
    except LookupError:
        return body.decode("latin-1")


def _reason(error: aiohttp.ClientError) -> str:
    """From the particular to the general: aiohttp's errors are each other's children."""
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            cause = error.__cause__
            return os_reason(cause) if isinstance(cause, ssl.SSLError) else "TLS"
        case aiohttp.ServerDisconnectedError():
            return "connection closed without an answer"
        case aiohttp.ClientPayloadError():
            return "connection closed within the body"
        case aiohttp.ClientResponseError():
            return f"not an HTTP answer: {error.message}"
        case OSError():
            return os_reason(error)
        case _:
            return str(error) or type(error).__name__
