"""Connections to Postgres.

Connections are in autocommit mode: a statement commits by itself, `async with connection.transaction()` groups
several. Statements that take longer than 30 s and transactions idle for 15 s are ended by the server, since
nothing here holds a transaction while it parses or moves bytes. A server that does not answer for 35 s is given up.
"""

import asyncio
from typing import Any

from psycopg import AsyncConnection, OperationalError
from psycopg.errors import IdleInTransactionSessionTimeout
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

Connection = AsyncConnection[DictRow]
Pool = AsyncConnectionPool[Connection]

_SESSION = (
    "-c statement_timeout=30000 -c idle_in_transaction_session_timeout=15000 -c lock_timeout=10000 "
    "-c timezone=UTC -c jit=off"  # compiling costs more than any of these statements takes
)
# A peer that vanished without a word is noticed within 5 + 3 x 5 seconds instead of the kernel's two hours.
_KEEPALIVE: dict[str, int] = {"keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 3}
# Longer than the server lets a statement take, so that nothing but a server that is out of reach takes as long.
_SILENCE_S = 35.0


class _Connection(AsyncConnection[DictRow]):
    """A connection on which every way to lose it is an OperationalError.

    A server that falls silent: keepalives do not see that while a statement is on its way, nor what a proxy on the way
    keeps to itself; the kernel would wait a quarter of an hour, or for ever. And a session that the server ended while
    this process was frozen inside a transaction, which psycopg calls an internal error.
    """

    async def wait(self, *args: Any, **values: Any) -> Any:
        """Await the answer. Raises OperationalError when none comes."""
        limit = asyncio.timeout(_SILENCE_S)
        try:
            async with limit:
                return await super().wait(*args, **values)
        except IdleInTransactionSessionTimeout as error:
            raise OperationalError(str(error)) from error
        except TimeoutError:
            if not limit.expired():
                raise
            raise OperationalError("the server fell silent") from None


class _Pool(AsyncConnectionPool[Connection]):
    """A pool that heeds cancellation also at the moment in which it hands out a connection.

    Without this a task that is cancelled just then goes on as if nothing had happened.
    """

    async def getconn(self, timeout: float | None = None) -> Connection:  # noqa: ASYNC109  # the name it has
        task = asyncio.current_task()
        cancelled_before = task.cancelling() if task else 0
        connection = await super().getconn(timeout)
        if task and task.cancelling() > cancelled_before:
            await self.putconn(connection)
            raise asyncio.CancelledError
        return connection


async def connect(url: str, application: str) -> Connection:
    """Open one connection outside any pool, for LISTEN and NOTIFY.

    Raises psycopg.OperationalError when Postgres cannot be reached within 5 seconds.
    """
    return await _Connection.connect(
        url,
        autocommit=True,
        row_factory=dict_row,
        options=_SESSION,
        application_name=application,
        connect_timeout=5,
        keepalives_idle=_KEEPALIVE["keepalives_idle"],
        keepalives_interval=_KEEPALIVE["keepalives_interval"],
        keepalives_count=_KEEPALIVE["keepalives_count"],
    )


def make_pool(url: str, application: str, *, max_size: int) -> Pool:
    """Return a pool that is not yet open: use it with `async with`."""
    return _Pool(
        url,
        connection_class=_Connection,
        kwargs={
            "autocommit": True,
            "row_factory": dict_row,
            "options": _SESSION,
            "application_name": application,
            "connect_timeout": 5,
            **_KEEPALIVE,
        },
        min_size=1,
        max_size=max_size,
        timeout=10,
        open=False,
        name=application,
    )
