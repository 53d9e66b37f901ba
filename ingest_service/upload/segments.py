"""Store a stream of bytes as segments while it arrives, and join them at the end.

A segment counts once the manifest row names it, a fifth of a second after it is stored at the latest as long as more
come. At most one segment is being filled and two are on their way to the store, whatever the size of the file: that
bounds memory to three segments (12 MiB) and a few messages an upload, and a writer that is slower than its client
holds the client back. The bytes are kept as they came, in pieces, neither copied nor summed again.
"""

import asyncio
from collections import deque

from ingest_service.upload.checksum import joined
from shared.errors import DataLoss
from shared.records.uploads import Upload, Uploads
from shared.storage import ObjectInfo, ObjectStore

SEGMENT_BYTES = 4 << 20
_PIECE_BYTES = 64 << 10
_MAX_IN_FLIGHT = 2
_COMMIT_EVERY_S = 0.2


class SegmentWriter:
    """Writes the bytes of one upload, from `upload.committed_bytes` on, for the epoch that `upload` has."""

    def __init__(self, store: ObjectStore, uploads: Uploads, upload: Upload) -> None:
        self._store = store
        self._uploads = uploads
        self._upload = upload
        self._base = f"uploads/{upload.upload_id}-{upload.epoch}"
        self._pieces: list[bytes] = []
        self._crumbs = bytearray()
        self._filled_bytes = 0
        self._in_flight: deque[asyncio.Task[None]] = deque()
        self._names = list(upload.segments)
        self._sent = self._uncommitted = 0
        self._committed_at_s = 0.0
        self._filled_crc32c = 0
        self._crc32c_before = upload.committed_crc32c
        self.received_bytes = upload.committed_bytes

    @property
    def crc32c(self) -> int:
        """The checksum of everything received."""
        return joined(self._crc32c_before, self._filled_crc32c, self._filled_bytes)

    async def write(self, data: bytes, crc32c: int) -> None:
        """Take `data`, whose checksum is `crc32c`; returns once there is room for more.

        Raises StoreError, EpochLost.
        """
        if self._filled_bytes + len(data) > SEGMENT_BYTES:
            await self._send()
        self._keep(data)
        self._filled_bytes += len(data)
        self._filled_crc32c = joined(self._filled_crc32c, crc32c, len(data))
        self.received_bytes += len(data)

    async def seal(self, name: str) -> ObjectInfo:
        """Store everything received as the object `name`. Raises DataLoss when the store has other bytes than we."""
        if not self._names and not self._in_flight:
            await self._store.put(name, self._take(), self.crc32c)
            return ObjectInfo(name, self.received_bytes, self.crc32c)
        if self._filled_bytes:
            await self._send()
        while self._in_flight:
            await self._in_flight.popleft()
        stored = await self._store.compose(self._names, name, None if self._upload.segments else self.crc32c)
        if (stored.size_bytes, stored.crc32c) != (self.received_bytes, self.crc32c):
            await self._store.delete([name])
            raise DataLoss("FILE_CRC_MISMATCH", "the stored file differs from what was received; upload it again")
        return stored

    async def close(self) -> None:
        """Stop what is on its way."""
        for task in self._in_flight:
            task.cancel()
        await asyncio.gather(*self._in_flight, return_exceptions=True)
        self._in_flight.clear()

    async def discard(self) -> None:
        """Remove the segments from the store."""
        await self._store.delete(self._names)

    def _keep(self, data: bytes) -> None:
        """Join what comes in crumbs: thousands of small objects would weigh more than their bytes."""
        if len(data) < _PIECE_BYTES:
            self._crumbs += data
            if len(self._crumbs) < _PIECE_BYTES:
                return
            data = b""
        if self._crumbs:
            self._pieces.append(bytes(self._crumbs))
            self._crumbs.clear()
        if data:
            self._pieces.append(data)

    def _take(self) -> list[bytes]:
        pieces = [*self._pieces, bytes(self._crumbs)] if self._crumbs else self._pieces
        self._pieces, self._crumbs = [], bytearray()
        return pieces

    async def _send(self) -> None:
        while len(self._in_flight) >= _MAX_IN_FLIGHT:
            await self._in_flight.popleft()
        before = self._in_flight[-1] if self._in_flight else None
        offset_bytes = self.received_bytes - self._filled_bytes
        self._sent += 1
        crc32c, self._crc32c_before = self._filled_crc32c, self.crc32c
        segment = self._store_segment(offset_bytes, self._take(), crc32c, self._crc32c_before, before)
        self._in_flight.append(asyncio.create_task(segment))
        self._filled_bytes = self._filled_crc32c = 0

    async def _store_segment(
        self,
        offset_bytes: int,
        pieces: list[bytes],
        crc32c: int,
        end_crc32c: int,
        before: asyncio.Task[None] | None,
    ) -> None:
        number, end_bytes = self._sent, offset_bytes + sum(map(len, pieces))
        name = await self._store.put_part(self._base, offset_bytes, pieces, crc32c)
        if before is not None:
            await before  # the manifest grows in order
        self._names.append(name)
        self._uncommitted += 1
        # A row a segment would cost a fast stream a tenth of its speed; a slow one has each of its segments named.
        now_s = asyncio.get_running_loop().time()
        if number == self._sent or now_s - self._committed_at_s >= _COMMIT_EVERY_S:
            names, self._uncommitted, self._committed_at_s = self._names[-self._uncommitted :], 0, now_s
            await self._uploads.commit_segments(self._upload, names, end_bytes, end_crc32c)
