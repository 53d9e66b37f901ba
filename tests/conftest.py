"""What every test may ask for: databases, stores, and services as real processes.

One PostgreSQL and one fake-gcs-server serve the whole run, also when it is spread over many processes: then the
process that spreads it starts them, and tells the others where they are. Every test gets a database and a bucket of
its own.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from tests.stack import Buckets, Databases, Services, migrate, run_servers, temporary_directory

__all__ = ["Services"]

_TEMPLATE = "tablemill_template"
_TEMPLATE_LOCK = 7_013
_WORKER_INPUT = "tablemill_servers"


@dataclass(frozen=True)
class Servers:
    """The servers of this run."""

    databases: Databases
    buckets: Buckets


@contextmanager
def _start_servers() -> Iterator[Servers]:
    with (
        temporary_directory() as directory,
        run_servers(directory, log_directory=directory, durable=False) as (postgres, gcs),
    ):
        yield Servers(postgres, gcs)


_servers_of_controller = pytest.StashKey[Servers]()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    """Start the servers before the processes that run the tests."""
    cleanup = ExitStack()
    config.add_cleanup(cleanup.close)
    config.stash[_servers_of_controller] = cleanup.enter_context(_start_servers())


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a process that runs tests where the servers are."""
    servers = node.config.stash[_servers_of_controller]
    node.workerinput[_WORKER_INPUT] = (str(servers.databases.socket_directory), servers.buckets.url)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of the services' logs beside the failure of a test that used them."""
    report = yield
    if report.when == "call" and report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Services):
                report.sections.extend((f"log of {name}", tail) for name, tail in value.log_tails().items())
    return report


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """The servers of this run; STORAGE_EMULATOR_HOST is set for store clients in this process."""
    with ExitStack() as cleanup:
        found = getattr(request.config, "workerinput", {}).get(_WORKER_INPUT)
        if found:
            servers = Servers(Databases(Path(found[0])), Buckets(found[1]))
        else:
            servers = cleanup.enter_context(_start_servers())
        patch = cleanup.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("STORAGE_EMULATOR_HOST", servers.buckets.url)
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, ",".join(filter(None, [os.environ.get(name), "127.0.0.1,localhost"])))
        yield servers


@pytest.fixture(scope="session")
def template_database(servers: Servers) -> str:
    """The name of a migrated database to copy; whichever process asks first makes it."""
    databases = servers.databases
    with databases.connect() as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_TEMPLATE_LOCK])
        if connection.execute("SELECT FROM pg_database WHERE datname = %s", [_TEMPLATE]).fetchone() is None:
            url = databases.create_database()
            migrate(url)
            connection.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
                    sql.Identifier(databases.name_of(url)), sql.Identifier(_TEMPLATE)
                )
            )
    return _TEMPLATE


@pytest.fixture
def database_url(servers: Servers, template_database: str) -> Iterator[str]:
    """A fresh migrated database, for this test alone."""
    url = servers.databases.create_database(template_database)
    yield url
    servers.databases.drop_database(url)


@pytest.fixture
def gs_store_url(servers: Servers) -> str:
    """A fresh bucket, for this test alone."""
    return servers.buckets.create_bucket()


@pytest.fixture
def file_store_url(tmp_path: Path) -> str:
    """A fresh directory store, for this test alone."""
    return f"file://{tmp_path}/store"


@pytest.fixture(params=["gs", "file"])
def store_url(request: pytest.FixtureRequest) -> str:
    """A fresh store, for this test alone; the test runs once for each kind of store."""
    return str(request.getfixturevalue(f"{request.param}_store_url"))


@contextmanager
def _start_services(servers: Servers, template_database: str) -> Iterator[Services]:
    database_url = servers.databases.create_database(template_database)
    with temporary_directory() as directory:
        services = Services(
            directory,
            log_directory=directory,
            database_url=database_url,
            store_url=servers.buckets.create_bucket(),
            emulator_url=servers.buckets.url,
            env={"TABLEMILL_CONCURRENCY": "1"},  # each slot keeps a process ready, which costs a second of a core
        )
        try:
            services.start()
            yield services
        finally:
            services.close()
    servers.databases.drop_database(database_url)


@pytest.fixture
def services(servers: Servers, template_database: str) -> Iterator[Services]:
    """Both services on a fresh database and bucket, for this test alone: it may kill, pause and restart them."""
    with _start_services(servers, template_database) as services:
        yield services


@pytest.fixture(scope="module")
def shared_services(servers: Servers, template_database: str) -> Iterator[Services]:
    """Both services for all tests of a module that only use them. Much faster than `services`."""
    with _start_services(servers, template_database) as services:
        yield services
