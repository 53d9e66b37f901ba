"""How long the client waits, and which errors it takes for passing."""

import asyncio

import grpc
import pytest

from tablemill.errors import RefusedError, ServerError, TablemillError, UnavailableError
from tablemill.retrying import Backoff, RetryPolicy

POLICY = RetryPolicy(attempts=6, first_delay_s=1.0, longest_delay_s=4.0, give_up_after_s=100.0)


@pytest.fixture
def delays_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    delays: list[float] = []

    async def sleep(delay_s: float) -> None:
        delays.append(delay_s)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr("random.uniform", lambda _low, high: high)
    return delays


def unavailable(retry_after_s: float | None = None) -> TablemillError:
    return UnavailableError("R", "m", grpc.StatusCode.UNAVAILABLE, retry_after_s=retry_after_s)


async def test_the_bound_of_the_wait_doubles_up_to_the_longest(delays_s: list[float]) -> None:
    backoff = Backoff(POLICY)
    for _ in range(5):
        await backoff.pause(unavailable())
    assert delays_s == [1.0, 2.0, 4.0, 4.0, 4.0]
    with pytest.raises(UnavailableError):
        await backoff.pause(unavailable())
    assert len(delays_s) == 5


async def test_progress_starts_anew(delays_s: list[float]) -> None:
    backoff = Backoff(POLICY)
    await backoff.pause(unavailable())
    await backoff.pause(unavailable())
    backoff.note_progress()
    await backoff.pause(unavailable())
    assert delays_s == [1.0, 2.0, 1.0]


async def test_the_server_may_ask_for_more_but_not_for_ever(delays_s: list[float]) -> None:
    backoff = Backoff(POLICY)
    await backoff.pause(unavailable(retry_after_s=30.0))
    assert delays_s == [31.0]
    with pytest.raises(UnavailableError):
        await backoff.pause(unavailable(retry_after_s=1000.0))


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (unavailable(), True),
        (ServerError("", "stream reset", grpc.StatusCode.INTERNAL), True),
        (ServerError("INTERNAL", "a bug", grpc.StatusCode.INTERNAL), False),
        (RefusedError("TOO_MANY_UPLOADS", "m", grpc.StatusCode.RESOURCE_EXHAUSTED, None, 1.0), True),
        (RefusedError("QUOTA_BYTES", "m", grpc.StatusCode.RESOURCE_EXHAUSTED), False),
        (RefusedError("", "not a server of ours", grpc.StatusCode.UNAUTHENTICATED), False),
    ],
)
def test_which_errors_may_pass(error: TablemillError, transient: bool) -> None:
    assert error.transient is transient
