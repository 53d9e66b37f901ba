"""What was read last, kept in memory. Clean data never changes under its object's name, so nothing here goes stale."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Sized(Generic[T]):
    """Something to keep, and how much memory it takes."""

    value: T
    size_bytes: int


class ReadCache:
    """Keeps what was made, up to `max_bytes`, the least recently used goes first.

    Those who ask for something while it is being made wait for it together.
    """

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Hashable, Sized[Any]] = OrderedDict()
        self._kept_bytes = 0
        self._making: dict[Hashable, asyncio.Task[Sized[Any]]] = {}

    async def get(self, key: Hashable, make: Callable[[], Awaitable[Sized[T]]]) -> T:
        """Return what is kept under `key`, made by `make()` when it is not there. Raises what that raises."""
        kept: Sized[T] | None = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept.value
        task: asyncio.Task[Sized[T]] | None = self._making.get(key)
        if task is None:
            task = self._making[key] = asyncio.ensure_future(self._make(key, make))
        # Shielded: one reader that gives up does not take it from the others who wait for it.
        return (await asyncio.shield(task)).value

    async def _make(self, key: Hashable, make: Callable[[], Awaitable[Sized[T]]]) -> Sized[T]:
        try:
            made = await make()
        finally:
            del self._making[key]
        self._kept[key] = made
        self._kept_bytes += made.size_bytes
        while self._kept_bytes > self._max_bytes:
            _, gone = self._kept.popitem(last=False)
            self._kept_bytes -= gone.size_bytes
        return made
