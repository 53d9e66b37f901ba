"""The pool of connections."""

import asyncio

import pytest

from shared.database import make_pool


async def test_a_cancellation_is_not_lost_in_a_connection_that_comes_at_that_moment(database_url: str) -> None:
    async with make_pool(database_url, "test", max_size=1) as pool:
        held = await pool.getconn()

        async def use() -> None:
            async with pool.connection():
                pass

        waiting = asyncio.create_task(use())
        async with asyncio.timeout(10):
            while not pool.get_stats().get("requests_waiting"):
                await asyncio.sleep(0)
        await pool.putconn(held)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with pool.connection(timeout=5) as again:
            assert again is held, "the connection went back"
