"""Checks against servers of others' making: up, wrong, hanging and gone, on both families.

Oracle has no server that could be installed here: `test_services` alone is about its check.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address

import pymysql
import pytest
import real_servers
import trustme
from places import ADDRESSES, NAME, Place, started, wait_until
from real_servers import LOGIN, PASSWORD, SECRET
from servers import http_target

from dr_forwarder.checks import APART, Result, Target, run
from dr_forwarder.checks.apart import Apart
from dr_forwarder.config.model import CheckType

LIMIT_S = 0.2
AMPLE_S = 20.0

Fields = dict[str, object]
Bad = tuple[tuple[Fields, str], ...]


@dataclass(frozen=True)
class Kind:
    """A service, the server that it is tried against, and what makes a check fail there."""

    service: str
    start: Callable[[Place], None]
    good: Fields
    bad: Bad = ()
    """Other fields, and a part of the reason why they make it fail."""
    also: tuple[Fields, ...] = ()
    """Further fields that pass."""
    protocol: str = "tcp"
    port: Callable[[Place], int] = lambda place: place.port
    behind: str = ""

    @property
    def name(self) -> str:
        kind = self.good.get("type", CheckType.NEGOTIATE)
        plain = kind is CheckType.NEGOTIATE
        behind = f" behind {self.behind}" if self.behind else ""
        return f"{self.service} over {self.protocol}" + ("" if plain else f" by {kind}") + behind


def tls_port(place: Place) -> int:
    return place.tls_port


LOGS_IN: Fields = {"login": LOGIN, "password": PASSWORD}
WRONG_PASSWORD: Fields = {"password": "wrong"}
DNS: Fields = {"request": "/example.test", "receive": "192.0.2.7"}
DNS_BAD: Bad = (
    ({"request": "/nowhere.test."}, "no such name"),
    ({"receive": "192.0.2.8"}, "lacks /192.0.2.8/"),
)
DNS_ALSO: tuple[Fields, ...] = (
    {"receive": None},
    {"receive": "2001:db8::7", "dns_type": "AAAA"},
    {"receive": "^10 mail", "dns_type": "MX"},
    {"receive": "two words", "dns_type": "TXT"},
    {"request": "/192.0.2.7", "receive": r"^example\.test\.$"},
)
LDAP: Fields = {"request": "/cn=config", "login": "cn=config", "password": PASSWORD}
LDAP_BAD: Bad = (
    (WRONG_PASSWORD, "bind: invalidCredentials"),
    ({"request": "/cn=nobody,cn=config"}, "noSuchObject"),
    ({"receive": "other"}, "lacks /other/"),
)
ANONYMOUS: Fields = {"request": "/", "login": "", "password": ""}
IMAP = partial(real_servers.start_mail, protocol="imap")
POP = partial(real_servers.start_mail, protocol="pop3")
SQL: Fields = {**LOGS_IN, "request": "/SELECT 1"}
SQL_BAD: Bad = (
    (WRONG_PASSWORD, LOGIN),
    ({"request": "/SELECT nonsense"}, "nonsense"),
    ({"request": "/SELECT 1 WHERE 1 = 2"}, "no row"),
    ({"database": "nowhere"}, "nowhere"),
)
MAIL_BAD: Bad = ((WRONG_PASSWORD, "ailed"),)
NO_LOGIN: Fields = {"login": "", "password": ""}
FILE: Fields = {"request": "/alive.txt", "receive": "^alive"}
FTP_BAD: Bad = (
    (WRONG_PASSWORD, "530"),
    ({"request": "/dead.txt"}, "550"),
    ({"receive": "dead"}, "lacks /dead/"),
)
HTTP_BAD: Bad = (
    ({"request": "/dead.txt"}, "HTTP 404 for /dead.txt"),
    ({"receive": "dead"}, "lacks /dead/"),
    ({"http_method": "POST", "receive": None}, "HTTP 405 for /alive.txt"),
)
HTTP_ALSO: tuple[Fields, ...] = ({"http_method": "HEAD", "receive": None}, {"virtual_host": NAME})
BEHIND = f"/http://{NAME}"
LINES: Fields = {"request": "/GET /alive.txt HTTP/1.0\\n\\n", "receive": "^alive"}
CONNECTS: Fields = {"type": CheckType.CONNECT}
RADIUS: Fields = {**LOGS_IN, "secret": SECRET}

KINDS = [
    Kind("dns", real_servers.start_dns, DNS, DNS_BAD, DNS_ALSO, "udp"),
    Kind("dns", real_servers.start_dns, DNS, DNS_BAD, DNS_ALSO),
    Kind(
        "ftp",
        real_servers.start_ftp,
        {**LOGS_IN, **FILE},
        FTP_BAD,
        ({"request": "/", "receive": None},),
    ),
    Kind("http", real_servers.start_http, FILE, HTTP_BAD, HTTP_ALSO),
    Kind("https", real_servers.start_http, FILE, HTTP_BAD, HTTP_ALSO, port=tls_port),
    Kind("http", real_servers.start_http, CONNECTS),
    Kind(
        "http_proxy",
        real_servers.start_http_proxy,
        {**FILE, "request": f"{BEHIND}/alive.txt"},
        (
            ({"request": f"{BEHIND}/dead.txt"}, "HTTP 404 for /dead.txt"),
            ({"request": "/http://127.0.0.1:1/"}, "HTTP 500"),
            ({"receive": "dead"}, "lacks /dead/"),
        ),
    ),
    Kind(
        "simpletcp",
        real_servers.start_http,
        LINES,
        (({"receive": "dead"}, "no line of the answer has /dead/"),),
    ),
    Kind("nntp", real_servers.start_nntp, {}),
    Kind("sip", partial(real_servers.start_sip, transport="u1"), {}, protocol="udp"),
    Kind("sip", partial(real_servers.start_sip, transport="t1"), {}),
    Kind("smtp", real_servers.start_smtp, {}),
    Kind("submission", real_servers.start_smtp, {}),
    Kind("ldap", real_servers.start_ldap, LDAP, LDAP_BAD, (ANONYMOUS,)),
    Kind("ldaps", real_servers.start_ldap, LDAP, LDAP_BAD, (ANONYMOUS,), port=tls_port),
    Kind("imap", IMAP, LOGS_IN, MAIL_BAD, (NO_LOGIN,)),
    Kind("imaps", IMAP, LOGS_IN, MAIL_BAD, (NO_LOGIN,), port=tls_port),
    Kind("pop", POP, LOGS_IN, MAIL_BAD, (NO_LOGIN,)),
    Kind("pops", POP, LOGS_IN, MAIL_BAD, (NO_LOGIN,), port=tls_port),
    Kind("mysql", real_servers.start_mysql, {**SQL, "database": "shop"}, SQL_BAD),
    Kind("pgsql", real_servers.start_pgsql, {**SQL, "database": "postgres"}, SQL_BAD),
    Kind(
        "pgsql",
        real_servers.start_pgbouncer,
        {**SQL, "database": "postgres"},
        ((WRONG_PASSWORD, "SASL authentication failed"), *SQL_BAD[1:]),
        ({"request": "/SHOW server_version"}, {"request": "/VALUES (1), (2)"}),
        behind="PgBouncer",
    ),
    Kind(
        "radius",
        real_servers.start_radius,
        RADIUS,
        ((WRONG_PASSWORD, "Access-Reject"),),
        protocol="udp",
    ),
]
MYSQL = [kind for kind in KINDS if kind.service == "mysql"]
WITH_WORKERS = [kind for kind in KINDS if kind.service in APART and not kind.behind]
POOLED = [kind for kind in KINDS if kind.behind]
WITH_TLS = [kind for kind in KINDS if kind.service in ("https", "imaps", "ldaps", "pops")]


def target(kind: Kind, place: Place, address: str, **other: object) -> Target:
    fields = {key: value for key, value in {**kind.good, **other}.items() if value is not None}
    made = http_target(kind.port(place), service=kind.service, **fields)
    return replace(made, address=ip_address(address), protocol=kind.protocol)


def results(
    kind: Kind, place: Place, *, limit_s: float = AMPLE_S, **other: object
) -> Sequence[Result]:
    """Of the check of either address, run at the same time."""

    async def together() -> Sequence[Result]:
        targets = [target(kind, place, address, **other) for address in ADDRESSES]
        return await asyncio.gather(*(run(each, limit_s=limit_s) for each in targets))

    return asyncio.run(together())


def wrong_with(kind: Kind, place: Place, *, limit_s: float = AMPLE_S, **other: object) -> str:
    """Why checks of a server fail; nothing when both pass."""
    found = zip(ADDRESSES, results(kind, place, limit_s=limit_s, **other), strict=True)
    return "; ".join(f"{address}: {each.reason}" for address, each in found if not each.passed)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    made: Kind = request.param
    return made


@pytest.fixture(scope="module")
def place(kind: Kind, authority: trustme.CA) -> Iterator[Place]:
    with started(kind.start, authority) as running:
        wait_until(lambda: wrong_with(kind, running, limit_s=1), running)
        yield running


def test_a_server_that_works_is_up(kind: Kind, place: Place) -> None:
    for fields in ({}, *kind.also):
        assert wrong_with(kind, place, **fields) == "", fields


def test_a_server_that_refuses_is_down_with_its_reason(kind: Kind, place: Place) -> None:
    for fields, reason in kind.bad:
        for result in results(kind, place, **fields):
            assert not result.passed, fields
            assert reason in result.reason, fields
            assert "no answer within" not in result.reason


def test_a_server_that_hangs_is_down_until_it_goes_on(kind: Kind, place: Place) -> None:
    place.tell(signal.SIGSTOP)
    try:
        found = results(kind, place, limit_s=LIMIT_S)
    finally:
        place.tell(signal.SIGCONT)
    if kind.good.get("type") is CheckType.CONNECT:
        # The kernel accepts for it: that is what connect cannot see.
        assert [each.reason for each in found] == ["connected"] * 2
    else:
        assert [each.reason for each in found] == [f"no answer within {LIMIT_S:g} s"] * 2
    assert wrong_with(kind, place) == ""


def test_a_server_that_was_killed_is_down(kind: Kind, place: Place) -> None:
    place.end()
    reasons = {"connection refused", "connection reset by peer"}
    for result in results(kind, place, limit_s=LIMIT_S):
        assert not result.passed
        assert result.reason in reasons


@pytest.mark.parametrize("kind", WITH_WORKERS, ids=Kind.name.fget, indirect=True)
def test_a_worker_finds_what_the_director_itself_would(kind: Kind, place: Place) -> None:
    async def each() -> None:
        async with Apart() as apart:
            for address in ADDRESSES:
                asked = target(kind, place, address)
                found = await run(asked, limit_s=AMPLE_S, apart=apart)
                assert found.passed, found.reason
                for fields, reason in kind.bad:
                    asked = target(kind, place, address, **fields)
                    found = await run(asked, limit_s=AMPLE_S, apart=apart)
                    assert (found.passed, reason in found.reason) == (False, True), found

    asyncio.run(each())


@pytest.mark.parametrize("kind", POOLED, ids=Kind.name.fget, indirect=True)
def test_checks_of_two_directors_leave_nothing_in_the_server(
    kind: Kind, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        # The library counts its statements from here in every process.
        monkeypatch.setattr("asyncpg.connection._uid", 0)
        assert wrong_with(kind, place) == ""


@pytest.mark.parametrize("kind", MYSQL, ids=Kind.name.fget, indirect=True)
def test_a_check_of_mysql_is_no_aborted_client(kind: Kind, place: Place) -> None:
    def status(name: str) -> int:
        where = {"host": "127.0.0.1", "port": place.port, "user": LOGIN}
        password = PASSWORD.encode().decode("latin-1")
        connection = pymysql.connect(**where, password=password)
        with connection, connection.cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE %s", (name,))
            return int(cursor.fetchone()[1])

    def others() -> str:
        return "" if status("Threads_connected") == 1 else "checks are still connected"

    wait_until(others, place)
    before = status("Aborted_clients")
    for _ in range(3):
        assert wrong_with(kind, place) == ""
    wait_until(others, place)
    assert status("Aborted_clients") == before


@pytest.mark.parametrize("kind", WITH_TLS, ids=Kind.name.fget, indirect=True)
def test_a_certificate_is_looked_at_when_it_shall_be(kind: Kind, place: Place) -> None:
    known = {"verify_cert": True, "ca_file": str(place.authority_file())}
    assert wrong_with(kind, place, **known, sni=NAME) == ""
    for result in results(kind, place, **known, sni="other.example"):
        assert (result.passed, result.reason.split(",")[0]) == (False, "TLS: Hostname mismatch")
    for result in results(kind, place, verify_cert=True, sni=NAME):
        assert not result.passed
        assert "unable to get local issuer certificate" in result.reason
    other = str(place.folder / "other.pem")
    trustme.CA().cert_pem.write_to_path(other)
    assert wrong_with(kind, place, verify_cert=True, ca_file=other, sni=NAME)
    assert wrong_with(kind, place, verify_cert=False, ca_file=other, sni="other.example") == ""
