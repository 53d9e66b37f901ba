"""How many uploads may be open at once on this process: in all, and for one owner."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from ingest_service.upload.stream import UploadStream
from shared import telemetry
from shared.errors import ResourceExhausted, Unavailable

_RETRY_AFTER_S = 5.0


class Admission:
    """Admits streams until it is told to drain. Counts are this process's: with N replicas an owner gets N shares."""

    def __init__(self, *, max_uploads: int, max_uploads_per_owner: int) -> None:
        self._max_uploads = max_uploads
        self._max_uploads_per_owner = max_uploads_per_owner
        self._open: set[UploadStream] = set()
        self._per_owner: Counter[str] = Counter()
        self._all_closed = asyncio.Event()
        self._all_closed.set()
        self._draining = False

    @contextmanager
    def admit(self, owner: str, stream: UploadStream) -> Iterator[None]:
        """Hold a place for `stream` inside the block. Raises ResourceExhausted, Unavailable."""
        if self._draining:
            raise Unavailable("SERVER_DRAINING", "this server goes away; use another", retry_after_s=1.0)
        if len(self._open) >= self._max_uploads:
            raise _too_many(self._max_uploads, "on this server")
        if self._per_owner[owner] >= self._max_uploads_per_owner:
            raise _too_many(self._max_uploads_per_owner, "of yours on this server")
        self._open.add(stream)
        self._per_owner[owner] += 1
        self._all_closed.clear()
        telemetry.UPLOADS_ACTIVE.set(len(self._open))
        try:
            yield
        finally:
            self._open.discard(stream)
            self._per_owner[owner] -= 1
            self._per_owner += Counter()  # forgets owners at zero
            telemetry.UPLOADS_ACTIVE.set(len(self._open))
            if not self._open:
                self._all_closed.set()

    async def drain(self, grace_s: float) -> None:
        """Admit no more; give open streams `grace_s` seconds, then end them as resumable."""
        self._draining = True
        try:
            async with asyncio.timeout(grace_s):
                await self._all_closed.wait()
        except TimeoutError:
            for stream in self._open:
                stream.interrupt()


def _too_many(limit: int, where: str) -> ResourceExhausted:
    return ResourceExhausted(
        "TOO_MANY_UPLOADS",
        f"{limit} uploads {where} are open; try again later",
        {"limit": str(limit)},
        retry_after_s=_RETRY_AFTER_S,
    )
