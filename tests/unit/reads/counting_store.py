"""An object store that holds one object and counts what is read of it."""

import asyncio
from typing import Any

from shared.storage import StoreError


class CountingStore:
    """Only ranged reads; `failing` makes them raise."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.ranges: list[tuple[int, int]] = []
        self.failing = False

    @property
    def read_bytes(self) -> int:
        return sum(size_bytes for _, size_bytes in self.ranges)

    async def read_range(self, name: str, offset: int, size_bytes: int) -> bytes:
        self.ranges.append((offset, size_bytes))
        await asyncio.sleep(0)
        if self.failing:
            raise StoreError("away")
        return self.data[offset : offset + size_bytes]

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"reads of clean data are ranged reads, not {name}")
