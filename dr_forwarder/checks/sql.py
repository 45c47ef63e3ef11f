"""SQL (MySQL, PostgreSQL, Oracle): log in, run `request`, and see whether a row comes.

Each library speaks asyncio itself, so a server that hangs holds no thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Any, Final

from dr_forwarder.checks.model import CheckError, Target, octets

_FAREWELL_S: Final = 0.5
_ROWS: Final = re.compile(r"\w+( \d+)* [1-9]\d*|SHOW|EXPLAIN")
"""PostgreSQL's word of a command that brought or changed a row: ``SELECT 1``."""


async def check(target: Target) -> str:
    """Passes when there is at least one row."""
    query = target.check.request.removeprefix("/")
    if not query or not target.check.login:
        raise CheckError(f"service={target.check.service} needs a login and a request")
    match target.check.service:
        case "mysql":
            row = await _mysql(target, query)
        case "pgsql":
            row = await _pgsql(target, query)
        case _:
            row = await _oracle(target, query)
    if row is None:
        raise CheckError("the request brought no row")
    return "the request brought a row"


async def _mysql(target: Target, query: str) -> Any:
    import aiomysql

    connection = aiomysql.Connection(
        host=str(target.address),
        port=target.port,
        user=target.check.login,
        # The library encodes it in Latin-1, whatever the server expects: these are its bytes.
        password=octets(target.check.password).decode("latin-1"),
        db=target.check.database or None,
    )
    try:
        # Connects; unlike connect() it leaves nothing open when it is cancelled.
        await connection.ping()
        # Unbuffered: of a large result no more than one row is read.
        cursor = await connection.cursor(aiomysql.SSCursor)
        await cursor.execute(query)
        row = await cursor.fetchone()
        await _leave_mysql(connection, cursor)
    except aiomysql.MySQLError as error:
        raise _cause(error, str(error.args[-1]) if error.args else "") from None
    finally:
        connection.close()
    return row


async def _leave_mysql(connection: Any, cursor: Any) -> None:
    """Without a farewell the server counts and logs an aborted client. It reads one only after it
    has sent the rest of the rows, which are not waited for long.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_FAREWELL_S):
            await cursor.close()
            await connection.ensure_closed()


async def _pgsql(target: Target, query: str) -> Any:
    """By the simple protocol: a prepared statement would be left in the server behind a pooler of
    connections, where the next check finds it.
    """
    import asyncpg

    try:
        connection = await asyncpg.connect(
            host=str(target.address),
            port=target.port,
            user=target.check.login,
            password=target.check.password or None,
            database=target.check.database or None,
            timeout=None,
        )
        try:
            status = await connection.execute(query)
            with contextlib.suppress(TimeoutError):
                await connection.close(timeout=_FAREWELL_S)
            return _ROWS.fullmatch(status or "")
        finally:
            connection.terminate()
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise _cause(error, str(error)) from None


async def _oracle(target: Target, query: str) -> Any:
    import oracledb

    try:
        connection = await oracledb.connect_async(
            user=target.check.login,
            password=target.check.password,
            host=str(target.address),
            port=target.port,
            sid=target.check.database,
            tcp_connect_timeout=target.check.negotiate_timeout_s,
        )
        async with connection:
            return await connection.fetchone(query)
    except oracledb.Error as error:
        raise _cause(error, str(error)) from None


def _cause(error: BaseException, text: str) -> Exception:
    """The system's own error, if that is what the library wrapped."""
    cause = error.__cause__
    return cause if isinstance(cause, OSError) else CheckError(text or type(error).__name__)
