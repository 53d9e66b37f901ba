"""What health depends on: the database, as the listener proves it, and the object store."""

import asyncio
import time

from shared.jobs.notify import Listener
from shared.storage import ObjectStore, StoreError

_STORE_CHECK_EVERY_S = 10.0
_STORE_RETRY_EVERY_S = 1.0
_STORE_CHECK_TIMEOUT_S = 5.0


class BackendHealth:
    """Tells whether Postgres and the object store answer.

    The store is asked every 10 seconds, or every second while it is away.
    """

    def __init__(self, listener: Listener, store: ObjectStore) -> None:
        self._listener = listener
        self._store = store
        self._store_up = False
        self._checked_s = -_STORE_CHECK_EVERY_S

    async def __call__(self) -> bool:
        """Return True while both answer."""
        every_s = _STORE_CHECK_EVERY_S if self._store_up else _STORE_RETRY_EVERY_S
        if time.monotonic() - self._checked_s >= every_s:
            self._store_up = await self._store_answers()
            self._checked_s = time.monotonic()
        return self._listener.up.is_set() and self._store_up

    async def _store_answers(self) -> bool:
        try:
            async with asyncio.timeout(_STORE_CHECK_TIMEOUT_S):
                await self._store.check()
        except (StoreError, TimeoutError):
            return False
        return True
