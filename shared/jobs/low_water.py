"""A low-water mark on the claim order, which keeps claims fast beside long transactions."""

import time

_REFRESH_S = 1.0


class LowWater:
    """Where the claim order of each queue begins, as far as this process has seen.

    Claims that start there skip the dead index entries of jobs that are gone, which pile up while a long
    transaction elsewhere keeps vacuum away. Forgotten once a second, and whenever a claim finds less than it
    asked for, so that a position that was given out below it waits a second at most.
    """

    def __init__(self) -> None:
        self._marks: dict[str, tuple[int, float]] = {}

    def of(self, queue: str) -> int:
        """Return the position that nothing ready lies below, as far as is known; 0 when nothing is."""
        mark, expires_s = self._marks.get(queue, (0, 0.0))
        return mark if time.monotonic() < expires_s else 0

    def saw(self, queue: str, pos: int) -> None:
        """Take note that a claim got all it asked for, up to `pos`."""
        _, expires_s = self._marks.get(queue, (0, 0.0))
        if time.monotonic() >= expires_s:
            expires_s = time.monotonic() + _REFRESH_S
        self._marks[queue] = (pos, expires_s)

    def forget(self, queue: str) -> None:
        """Begin anew."""
        self._marks.pop(queue, None)
