"""Random histories of the job engine on a real Postgres, compared with the rules in memory after every step."""

import random
import time
from collections.abc import Iterator

import hypothesis
import pytest
from hypothesis import HealthCheck
from hypothesis.stateful import run_state_machine_as_test

from shared.jobs import low_water
from shared.jobs.model import JobProgress
from tests.integration.jobs_engine import Engine, driven_engine
from tests.integration.jobs_machine import JobsMachine


@pytest.fixture
def engine(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The engine on a fresh database; machines set the clock of its process."""
    monkeypatch.setattr(low_water, "time", time)  # so that it is put back afterwards
    with driven_engine(database_url) as engine:
        yield engine


def _run(engine: Engine, examples: int, steps_each: int, seed: int | None = None) -> None:
    class Machine(JobsMachine):
        def __init__(self) -> None:
            super().__init__(engine)

    settings = hypothesis.settings(
        max_examples=examples, stateful_step_count=steps_each, derandomize=seed is None, database=None,
        deadline=None, suppress_health_check=list(HealthCheck), print_blob=True,
    )  # fmt: skip
    run_state_machine_as_test(Machine if seed is None else hypothesis.seed(seed)(Machine), settings=settings)


def test_random_histories_keep_the_rules(engine: Engine) -> None:
    """The same histories every time."""
    _run(engine, 15, 40)


def test_a_new_unit_of_the_same_progress_is_a_change_that_watchers_see(engine: Engine) -> None:
    """A history that broke the rules once."""
    state = JobsMachine(engine)
    state.begin_with_some_jobs()
    for unit in ("rows", "bytes"):
        state.heartbeat(worker=0, picks=[0], zombie=False, progress=JobProgress("read", 1, 1, unit))
        state.rows_are_as_the_rules_say()


@pytest.mark.slow
def test_many_random_histories_keep_the_rules(engine: Engine, request: pytest.FixtureRequest) -> None:
    """New histories every time: the same again with --hypothesis-seed=SEED, a single one by the blob that is shown."""
    asked = request.config.getoption("--hypothesis-seed", None)
    seed = random.SystemRandom().randrange(2**32) if asked is None else int(asked)
    print(f"these histories again: --hypothesis-seed={seed}")
    _run(engine, 250, 60, seed)
