"""When to try again: exponential back-off with full jitter, bounded in attempts and in time."""

import asyncio
import random
import time
from dataclasses import dataclass

from tablemill.errors import TablemillError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to keep trying while nothing moves; any progress starts the count anew.

    Attributes:
        attempts: Attempts in a row that may fail without progress.
        first_delay_s: Upper bound of the wait after the first failure; it doubles with each further one.
        longest_delay_s: Upper bound of any wait, unless the server asks for a longer one.
        give_up_after_s: Time without progress after which a failure is final.
    """

    attempts: int = 10
    first_delay_s: float = 0.5
    longest_delay_s: float = 20.0
    give_up_after_s: float = 300.0


class Backoff:
    """Counts the failures of one call or stream and waits between its attempts."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self.note_progress()

    def note_progress(self) -> None:
        """Forget the failures so far."""
        self.failures = 0
        self._since_s = time.monotonic()

    async def pause(self, error: TablemillError) -> None:
        """Wait before the next attempt.

        Raises:
            TablemillError: `error` itself, when the attempts or the time are used up.
        """
        self.failures += 1
        ceiling_s = min(self._policy.longest_delay_s, self._policy.first_delay_s * 2 ** (self.failures - 1))
        # Full jitter: many clients that lost the same server must not return at the same moment.
        delay_s = random.uniform(0, ceiling_s) + (error.retry_after_s or 0.0)  # noqa: S311
        elapsed_s = time.monotonic() - self._since_s
        if self.failures >= self._policy.attempts or elapsed_s + delay_s > self._policy.give_up_after_s:
            raise error
        await asyncio.sleep(delay_s)
