"""Random histories: whatever gets lost, comes late or breaks, no watcher misses the newest state of a job."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ingest_service.watch.watcher
from shared.database import make_pool
from tests.integration.watch_world import World

_STEPS = [
    *(["enqueue", "claim", "finish"] * 3),
    *(["progress", "come", "go", "hold", "commit", "breathe"] * 2),
    *("cancel_or_retry", "promote", "deliver_late", "poll", "slow_down", "newcomer", "restart"),
]
_NUMBER = st.integers(0, 15)
_HISTORY = st.lists(st.tuples(st.sampled_from(_STEPS), _NUMBER, _NUMBER, _NUMBER, _NUMBER), min_size=10, max_size=60)
_ANYHOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


async def _play(database_url: str, history: list[tuple[str, int, int, int, int]]) -> None:
    async with make_pool(database_url, "test", max_size=12) as pool:
        world = World(pool)
        try:
            await world.begin()
            for step, *numbers in history:
                await getattr(world, step)(*numbers)
            await world.check()
        finally:
            await world.end()


@pytest.fixture(autouse=True)
def _quick_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_service.watch.watcher, "_PACE_S", 0.01)


@settings(max_examples=20, deadline=None, suppress_health_check=_ANYHOW)
@given(history=_HISTORY)
def test_no_watcher_misses_anything(database_url: str, history: list[tuple[str, int, int, int, int]]) -> None:
    asyncio.run(_play(database_url, history))


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(max_examples=1500, deadline=None, suppress_health_check=_ANYHOW)
@given(history=st.lists(st.tuples(st.sampled_from(_STEPS), *[_NUMBER] * 4), min_size=30, max_size=200))
def test_no_watcher_misses_anything_at_length(database_url: str, history: list[tuple[str, int, int, int, int]]) -> None:
    asyncio.run(_play(database_url, history))
