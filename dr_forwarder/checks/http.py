"""HTTP, HTTPS and HTTP proxies: fetch a page by the real server, look at its status and text.

Unlike ldirectord's, a check never leaves the real server: the connection always goes to its
address, and a redirect to any other name is a failure that says where to. Through a proxy it may
lead anywhere: the proxy goes there.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final
from urllib.parse import quote, unquote

from yarl import URL

from dr_forwarder.checks import http_answer, receive, stream, through_vip, tls
from dr_forwarder.checks.http_answer import BODY_BYTES, Answer
from dr_forwarder.checks.model import CheckError, Target, VipPath, octets, os_reason
from dr_forwarder.checks.stream import Stream
from dr_forwarder.config.model import endpoint

_AGENT: Final = "dr_forwarder"
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
    page = first = _page(target)
    ours = None if _is_proxy(target) else _names(target, page)
    for _ in range(_REDIRECTS + 1):
        try:
            found = await _get(target, page, path)
        except (CheckError, OSError) as error:
            if page is first:
                raise
            reason = str(error) if isinstance(error, CheckError) else os_reason(error)
            raise CheckError(f"redirected to {page}: {reason}") from error
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
            url = _whole(whole)
            return url if url.explicit_port else url.with_port(target.port)
        place = endpoint(target.destination, target.port)
        return URL(f"{service}://{place}{request}", encoded=True)
    except ValueError as error:
        raise CheckError(f"request is not a URL: {error}") from error


def _whole(text: str) -> URL:
    """As it is written, but for a name that is not ASCII: RFC 5890."""
    url = URL(text, encoded=True)
    host = unquote(url.raw_host or "")
    return url if host == url.raw_host else url.with_host(host)


def _page_behind(whole: str) -> URL:
    url = _whole(whole)
    if url.scheme not in ("http", "https") or not url.host:
        raise CheckError('http_proxy needs a whole URL: request="http://example.com/"')
    return url


def _names(target: Target, page: URL) -> frozenset[str | None]:
    """The names a redirect may use for this very server."""
    virtual_host = target.check.virtual_host or ""
    return frozenset({page.host, str(target.destination), _without_port(virtual_host).lower()})


async def _get(target: Target, page: URL, path: VipPath | None) -> str | URL:
    """What was seen, or where the server redirects to."""
    is_head = target.check.http_method == "HEAD"
    async with _connected(target, page, path) as server:
        await server.send(_request(target, page))
        answer = await http_answer.read(server, has_body=not is_head)
    location = answer.headers.get("location")
    if answer.status in _REDIRECT_STATUS and location:
        return _join(page, location)
    return await _judge(answer, target, page)


@contextlib.asynccontextmanager
async def _connected(target: Target, page: URL, path: VipPath | None) -> AsyncIterator[Stream]:
    """New for every page: nothing of one check can linger into the next."""
    opened = await _opened(target, page, path)
    try:
        if page.scheme == "https":
            if _is_proxy(target):
                await _tunnel(opened, page)
            name = _server_name(target, page)
            opened = secret = stream.Encrypted(opened, tls.context(target.check), name)
            await secret.shake_hands()
        yield opened
    finally:
        opened.close()


async def _opened(target: Target, page: URL, path: VipPath | None) -> Stream:
    if not _is_proxy(target):
        target = replace(target, port=page.port or 0)
    if path is not None:
        return stream.Carried(await through_vip.connected(target, path))
    return stream.Plain(await stream.connected(target))


async def _tunnel(proxy: Stream, page: URL) -> None:
    """RFC 9110 section 9.3.6."""
    place = f"{page.host_subcomponent}:{page.port}"
    lines = (f"CONNECT {place} HTTP/1.1", f"Host: {place}", f"User-Agent: {_AGENT}")
    await proxy.send(_message(*lines))
    answer = await http_answer.read(proxy, has_body=False)
    if not 200 <= answer.status < 300:
        raise CheckError(f"the proxy answered CONNECT {place} with {_status(answer)}")


def _server_name(target: Target, page: URL) -> str:
    """That is asked for (SNI) and verified; of an address it is only verified."""
    written = target.check.sni or page.raw_host or ""
    if not _is_proxy(target) and not target.check.sni:
        written = _without_port(target.check.virtual_host or "") or written
    try:
        name = written.encode("idna").decode()
    except UnicodeError:
        name = ""
    return name if _HOST_NAME.fullmatch(name) else str(target.destination)


def _request(target: Target, page: URL) -> bytes:
    # Without a virtualhost the bare address: ldirectord never writes the port.
    host = target.check.virtual_host or page.host_subcomponent or ""
    what = page.raw_path_qs
    if _is_proxy(target):
        host = page.host_port_subcomponent or ""
        what = what if page.scheme == "https" else str(page.with_user(None).with_fragment(None))
    lines = [f"{target.check.http_method} {what} HTTP/1.1", f"Host: {host}"]
    lines += [f"User-Agent: {_AGENT}", "Accept: */*"]
    if page.raw_user is not None:
        login = f"{unquote(page.raw_user)}:{unquote(page.raw_password or '')}".encode()
        lines.append(f"Authorization: Basic {base64.b64encode(login).decode()}")
    return _message(*lines, "Connection: close")


def _message(*lines: str) -> bytes:
    """Raises CheckError for a line that would be more than one."""
    if any("\r" in line or "\n" in line for line in lines):
        raise CheckError("request or virtualhost has a line break in it")
    return octets("".join(f"{line}\r\n" for line in (*lines, "")))


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


async def _judge(answer: Answer, target: Target, page: URL) -> str:
    if not 200 <= answer.status < 300:
        if page.raw_path_qs == "/":
            raise CheckError(_status(answer))
        phrase = f" ({answer.phrase})" if answer.phrase else ""
        raise CheckError(f"HTTP {answer.status} for {page.raw_path_qs}{phrase}")
    body, charset = answer.body, answer.charset
    where = "the first MiB of the body" if len(body) >= BODY_BYTES else "body"
    try:
        await receive.require(target, body, where=where, charset=charset)
    except CheckError:
        if (decoded := answer.decoded()) is None:
            raise
        await receive.require(target, decoded, where=where, charset=charset)
    return _status(answer)


def _status(answer: Answer) -> str:
    return f"HTTP {answer.status} {answer.phrase}".rstrip()
