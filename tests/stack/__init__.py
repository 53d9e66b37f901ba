"""Everything Tablemill needs, started for real on this machine, and gone without a trace afterwards.

`Stack` composes the pieces: a PostgreSQL 18, a fake-gcs-server, a migrated database, a bucket, and the services.
Each piece also stands alone. Used by the tests, the demo, `make up` and the benchmarks.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal, Self

from tests.stack.gcs import Buckets, FakeGcs
from tests.stack.postgres import Databases, Postgres, postgres_version
from tests.stack.process import CHECKOUT, Process, temporary_directory
from tests.stack.service import Service, Services, migrate

__all__ = [
    "CHECKOUT",
    "Buckets",
    "Databases",
    "FakeGcs",
    "Postgres",
    "Process",
    "Service",
    "Services",
    "Stack",
    "migrate",
    "postgres_version",
    "run_servers",
    "temporary_directory",
]


Store = Literal["gs", "file"]


class Stack:
    """A context manager: inside it the servers run; services run once they are started: `stack.services.start()`.

    Without `durable`, Postgres does not wait for the disk (tests). `store` says where objects live: in the
    fake-gcs-server or in a plain directory. Logs lie in `log_directory`, else with all other files.
    """

    directory: Path
    postgres: Postgres
    gcs: FakeGcs
    services: Services

    def __init__(self, *, durable: bool, store: Store = "gs", log_directory: Path | None = None) -> None:
        self._durable = durable
        self._store = store
        self._log_directory = log_directory
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as cleanup:
            self.directory = directory = cleanup.enter_context(temporary_directory())
            logs = self._log_directory or directory
            self.postgres, self.gcs = cleanup.enter_context(
                run_servers(directory, log_directory=logs, durable=self._durable)
            )
            database_url = self.postgres.create_database()
            migrate(database_url)
            self.services = Services(
                directory,
                log_directory=logs,
                database_url=database_url,
                store_url=self.gcs.create_bucket() if self._store == "gs" else f"file://{directory}/objects",
                emulator_url=self.gcs.url,
            )
            cleanup.callback(self.services.stop)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()


@contextmanager
def run_servers(directory: Path, *, log_directory: Path, durable: bool) -> Iterator[tuple[Postgres, FakeGcs]]:
    """Run a PostgreSQL and a fake-gcs-server with their data below `directory`, or in memory if it may be lost."""
    with ExitStack() as cleanup:
        data = directory if durable else cleanup.enter_context(temporary_directory(in_memory=True))
        postgres = Postgres(
            directory / "postgres",
            data_directory=data / "postgres-data",
            log_path=log_directory / "postgres.log",
            durable=durable,
        )
        cleanup.callback(postgres.stop)
        postgres.start()
        gcs = FakeGcs(directory / "gcs", log_path=log_directory / "fake_gcs_server.log")
        cleanup.callback(gcs.stop)
        gcs.start()
        yield postgres, gcs
