"""The registry of job types, and the settings that shape them."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from worker_service import handlers
from worker_service.handlers import by_queue, load_job_types
from worker_service.scratch import Scratch
from worker_service.settings import WorkerSettings

REQUIRED: dict[str, Any] = {"database_url": "postgresql:///x", "store_url": "file:///x"}

TOY = """
from pydantic import BaseModel
from worker_service.job_type import JobType, Resources, RetryPolicy

class Args(BaseModel):
    text: str

async def run(context, args):
    raise NotImplementedError

JOB_TYPE = JobType("toy", Args, run, lambda settings: Resources(1, 60, 1 << 30), RetryPolicy(1, 60))
"""


def test_a_file_in_the_folder_is_a_job_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.setattr(handlers, "__path__", [*handlers.__path__, str(tmp_path)])
    monkeypatch.setitem(sys.modules, "worker_service.handlers.toy", None)
    monkeypatch.delitem(sys.modules, "worker_service.handlers.toy")
    assert {"actions", "export", "ingest", "toy"} <= set(load_job_types())


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "ünïcode", "new\n"])
def test_a_name_that_the_schema_would_refuse_is_refused_at_import(name: str) -> None:
    with pytest.raises(ValueError, match="not a queue name"):
        dataclasses.replace(load_job_types()["ingest"], queue=name)


def test_two_types_for_one_queue_are_refused() -> None:
    ingest = load_job_types()["ingest"]
    with pytest.raises(ValueError, match="two job types"):
        by_queue([ingest, ingest])


def test_resources_follow_the_settings() -> None:
    settings = WorkerSettings(**REQUIRED, concurrency=7, conversion_timeout_s=9, conversion_memory_bytes=1 << 30)
    resources = load_job_types()["ingest"].resources(settings)
    assert (resources.concurrency, resources.timeout_s, resources.memory_bytes) == (7, 9, 1 << 30)


def test_heartbeats_come_twice_a_lease_at_least() -> None:
    with pytest.raises(ValidationError, match="half of lease_s"):
        WorkerSettings(**REQUIRED, lease_s=10, heartbeat_s=6)


def test_every_setting_is_described() -> None:
    assert all(field.description for field in WorkerSettings.model_fields.values())


def test_scratch_of_dead_processes_is_removed_and_that_of_living_ones_stays(tmp_path: Path) -> None:
    living = Scratch(tmp_path)
    dead = tmp_path / "worker-dead"
    dead.mkdir()
    (dead / "lock").touch()
    (dead / "attempt-1").mkdir()
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    second = Scratch(tmp_path)
    assert not dead.exists()
    assert len(list(tmp_path.glob("worker-*"))) == 2
    living.close()
    second.close()
    assert list(tmp_path.iterdir()) == [foreign]
