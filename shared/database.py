"""Connections to Postgres.

Connections are in autocommit mode: a statement commits by itself, `async with connection.transaction()` groups
several. Statements that take longer than 30 s and transactions idle for 15 s are ended by the server, since
nothing here holds a transaction while it parses or moves bytes.
"""

from psycopg import AsyncConnection
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


async def connect(url: str, application: str) -> Connection:
    """Open one connection outside any pool, for LISTEN and NOTIFY.

    Raises psycopg.OperationalError when Postgres cannot be reached within 5 seconds.
    """
    return await AsyncConnection.connect(
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
    return AsyncConnectionPool(
        url,
        connection_class=AsyncConnection[DictRow],
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
