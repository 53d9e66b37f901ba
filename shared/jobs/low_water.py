"""A low-water mark on the claim order, which keeps claims fast beside long transactions."""

import time
from dataclasses import dataclass

_REFRESH_S = 1.0
_LAG_S = 0.1


@dataclass
class _Mark:
    pos: int
    expires_s: float
    next_pos: int
    next_s: float


class LowWater:
    """Where the claim order of each queue begins, as far as this process has seen.

    Claims that start there skip the dead index entries of jobs that are gone, which pile up while a long
    transaction elsewhere keeps vacuum away. Forgotten once a second, and whenever a claim finds less than it
    asked for, so that a position that was given out below it waits a second at most. It lags behind the claims,
    since they go on between the moment when a position is given out and the commit that shows it: only a job
    whose transaction takes longer than the lag has to wait.
    """

    def __init__(self) -> None:
        self._marks: dict[str, _Mark] = {}

    def of(self, queue: str) -> int:
        """Return the position that nothing ready lies below, as far as is known; 0 when nothing is."""
        mark = self._marks.get(queue)
        return mark.pos if mark and time.monotonic() < mark.expires_s else 0

    def saw(self, queue: str, pos: int) -> None:
        """Take note that a claim got all it asked for, up to `pos`."""
        now_s = time.monotonic()
        mark = self._marks.setdefault(queue, _Mark(0, now_s + _REFRESH_S, pos, now_s))
        if now_s >= mark.expires_s:
            mark.expires_s = now_s + _REFRESH_S
        if now_s - mark.next_s >= _LAG_S:
            mark.pos, mark.next_pos, mark.next_s = mark.next_pos, pos, now_s
        # A claim from the very start may not have got as far as those before it.
        mark.pos, mark.next_pos = min(mark.pos, pos), min(mark.next_pos, pos)

    def forget(self, queue: str) -> None:
        """Begin anew."""
        self._marks.pop(queue, None)
