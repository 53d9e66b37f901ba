"""A low-water mark on the claim order, which keeps claims and enqueueings fast beside long transactions."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_REFRESH_S = 1.0
_LAG_S = 0.1
_REST = 9  # times as long as a walk took is waited before the next one: a tenth of the time goes into them at most


@dataclass
class _Mark:
    pos: int
    next_pos: int
    next_s: float
    expires_s: float = 0.0
    rested_s: float = 0.0


class LowWater:
    """Where the claim order of each queue begins, as far as this process has seen.

    What starts there skips the dead index entries of jobs that are gone, which pile up while a long transaction
    elsewhere keeps vacuum away. The mark is in force for a second, or longer where a walk from the very start takes
    so long that a tenth of the time would go into it; so a position that was given out below it waits that long at
    most. It lags behind what was seen, since claims go on between the moment when a position is given out and the
    commit that shows it: only a job whose transaction takes longer than the lag has to wait.
    """

    def __init__(self) -> None:
        self._marks: dict[str, _Mark] = {}

    def of(self, queue: str) -> int:
        """Return the position that nothing ready lies below, as far as is known; 0 when it is time to look."""
        mark = self._marks.get(queue)
        return mark.pos if mark and time.monotonic() < mark.expires_s else 0

    def saw(self, queue: str, pos: int) -> None:
        """Take note that nothing ready was seen below `pos`."""
        now_s = time.monotonic()
        mark = self._marks.setdefault(queue, _Mark(0, pos, now_s))
        if now_s - mark.next_s >= _LAG_S:
            mark.pos, mark.next_pos, mark.next_s = mark.next_pos, pos, now_s
        # Who walks from the very start may not have got as far as those before.
        mark.pos, mark.next_pos = min(mark.pos, pos), min(mark.next_pos, pos)

    @contextmanager
    def walk(self, *queues: str) -> Iterator[None]:
        """Time a walk from the very start; what is seen on it is in force afterwards."""
        began_s = time.monotonic()
        yield
        ended_s = time.monotonic()
        for queue in queues:
            mark = self._marks.setdefault(queue, _Mark(0, 0, ended_s))
            mark.rested_s = ended_s + _REST * (ended_s - began_s)
            mark.expires_s = max(mark.rested_s, ended_s + _REFRESH_S)

    def rest_s(self, queue: str) -> float:
        """Return how long a walk from the very start has to wait, lest they take more than a tenth of the time."""
        mark = self._marks.get(queue)
        return max(0.0, mark.rested_s - time.monotonic()) if mark else 0.0
