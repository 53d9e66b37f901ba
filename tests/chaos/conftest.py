"""Services that chaos tests do anything to."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.history import keep_history
from tests.chaos.mill import Mill
from tests.conftest import Servers
from tests.stack import FakeGcs, Postgres, migrate, run_servers, temporary_directory

# Watchers learn of what nobody told them within a second; a retry is never refused.
_INGEST = {"TABLEMILL_WATCH_POLL_S": "1", "TABLEMILL_JOB_MAX_ATTEMPTS": "50"}


@pytest.fixture(scope="module")
def _mill_of_module(servers: Servers, template_database: str) -> Iterator[Mill]:
    database_url = servers.databases.create_database(template_database)
    with (
        temporary_directory() as directory,
        _serving(
            Mill(
                directory,
                log_directory=directory,
                database_url=database_url,
                store_url=servers.buckets.create_bucket(),
                emulator_url=servers.buckets.url,
            )
        ) as mill,
    ):
        yield mill
    servers.databases.drop_database(database_url)


@pytest.fixture
def mill(_mill_of_module: Mill) -> Iterator[Mill]:
    """An ingest service shared by the tests of a module, and no worker: those that a test starts are its own."""
    yield _mill_of_module
    _mill_of_module.close_workers()


@pytest.fixture
def own_gcs(tmp_path: Path) -> Iterator[FakeGcs]:
    """A store that a test may stop and start."""
    with temporary_directory() as directory:
        gcs = FakeGcs(directory / "gcs", log_path=tmp_path / "gcs.log")
        gcs.start()
        yield gcs
        gcs.stop()


@pytest.fixture
def mill_on_own_gcs(own_gcs: FakeGcs, database_url: str, tmp_path: Path) -> Iterator[Mill]:
    """An ingest service on that store, and no worker."""
    with _serving(
        Mill(
            tmp_path,
            log_directory=tmp_path,
            database_url=database_url,
            store_url=own_gcs.create_bucket(),
            emulator_url=own_gcs.url,
        )
    ) as mill:
        yield mill


@dataclass(frozen=True)
class OwnServers:
    """A Postgres and a store that a test may stop and start."""

    directory: Path
    postgres: Postgres
    gcs: FakeGcs


@pytest.fixture
def own_servers(tmp_path: Path) -> Iterator[OwnServers]:
    """Servers for this test alone; the data of this Postgres survives its crashes."""
    with (
        temporary_directory() as directory,
        run_servers(directory, log_directory=tmp_path, durable=True) as (postgres, gcs),
    ):
        yield OwnServers(directory, postgres, gcs)


@pytest.fixture
def mill_on_own_servers(own_servers: OwnServers, tmp_path: Path) -> Iterator[Mill]:
    """An ingest service on those servers, and no worker."""
    database_url = own_servers.postgres.create_database()
    migrate(database_url)
    with _serving(
        Mill(
            own_servers.directory,
            log_directory=tmp_path,
            database_url=database_url,
            store_url=own_servers.gcs.create_bucket(),
            emulator_url=own_servers.gcs.url,
        )
    ) as mill:
        yield mill


@contextmanager
def _serving(mill: Mill) -> Iterator[Mill]:
    keep_history(mill.database_url)
    try:
        mill.start_ingest(_INGEST)
        yield mill
    finally:
        mill.close()
