"""The services as real processes: `python -m ingest_service`, `python -m worker_service`, configured by environment."""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.stack.process import CHECKOUT, Process, local_environment

_START_TIMEOUT_S = 60.0

Environment = Mapping[str, str]


class Service(Process):
    """A service process. It is launched at once; `wait_until_serving` returns when it serves."""

    def __init__(self, module: str, *, log_path: Path, env: Environment, cwd: Path = CHECKOUT) -> None:
        super().__init__([sys.executable, "-m", module], log_path=log_path, env=env, cwd=cwd, capture_stdout=True)
        self.module = module
        self.address = ""
        self.metrics_address = ""

    def wait_until_serving(self, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Wait for the line that says where the service serves. Raises RuntimeError with the end of its log."""
        try:
            facts = json.loads(self._first_line(timeout_s))
        except (EOFError, TimeoutError) as error:
            self.close()
            raise RuntimeError(f"{self.module} {error}. The end of its log:\n{self.log_tail()}") from None
        self.address = facts["address"]
        self.metrics_address = facts["metrics_address"]

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self.returncode is None

    def terminate(self) -> None:
        """Ask the process to drain and end; `wait` tells how it ended."""
        self.send_signal(signal.SIGTERM)

    def _first_line(self, timeout_s: float) -> bytes:
        deadline = time.monotonic() + timeout_s
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(deadline - time.monotonic()):
                    raise TimeoutError(f"did not serve within {timeout_s:.0f} s")
                piece = os.read(self.stdout.fileno(), 4096)
                if not piece:
                    raise EOFError(f"ended with {self.wait()} before it served")
                line += piece
        return line


class Services:
    """Services that share one database and one store; any number of each. `env` goes on top of the usual settings."""

    def __init__(
        self,
        directory: Path,
        *,
        log_directory: Path,
        database_url: str,
        store_url: str,
        emulator_url: str,
        env: Environment | None = None,
    ) -> None:
        self.database_url = database_url
        self.store_url = store_url
        self.emulator_url = emulator_url
        self._log_directory = log_directory
        self._ingests: list[Service] = []
        self._workers: list[Service] = []
        self._env = {
            "TABLEMILL_LISTEN": "127.0.0.1:0",
            "TABLEMILL_METRICS_LISTEN": "127.0.0.1:0",
            "TABLEMILL_LOG_LEVEL": "INFO",
            "TABLEMILL_DATABASE_URL": database_url,
            "TABLEMILL_STORE_URL": store_url,
            "STORAGE_EMULATOR_HOST": emulator_url,
            "TMPDIR": str(directory),
            **(env or {}),
        }

    @property
    def ingest(self) -> Service:
        """The ingest service started last."""
        return self._ingests[-1]

    @property
    def worker(self) -> Service:
        """The worker service started last."""
        return self._workers[-1]

    @property
    def address(self) -> str:
        """Where the ingest service serves."""
        return self.ingest.address

    @property
    def worker_address(self) -> str:
        """Where the worker service serves."""
        return self.worker.address

    @property
    def all(self) -> list[Service]:
        """Every service ever started here."""
        return [*self._ingests, *self._workers]

    def start(self, env: Environment | None = None) -> None:
        """Start one of each, both with `env` on top of the usual settings."""
        self._launch("ingest_service", self._ingests, env)
        self._launch("worker_service", self._workers, env)
        self.ingest.wait_until_serving()
        self.worker.wait_until_serving()

    def start_ingest(self, env: Environment | None = None) -> Service:
        """Start an ingest service, with `env` on top of the usual settings."""
        self._launch("ingest_service", self._ingests, env).wait_until_serving()
        return self.ingest

    def start_worker(self, env: Environment | None = None, cwd: Path = CHECKOUT) -> Service:
        """Start a worker service, with `env` on top of the usual settings; packages in `cwd` come first."""
        self._launch("worker_service", self._workers, env, cwd).wait_until_serving()
        return self.worker

    def stop(self, timeout_s: float = 30.0) -> None:
        """Let every service drain, and kill those that have not ended after `timeout_s`."""
        for service in self.all:
            service.terminate()
        deadline = time.monotonic() + timeout_s
        try:
            for service in self.all:
                service.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Kill every service that still runs."""
        for service in self.all:
            service.close()

    def log_tails(self, lines: int = 40) -> dict[str, str]:
        """The end of every log, by a name that says whose it is."""
        return {service.log_path.stem: service.log_tail(lines) for service in self.all}

    def _launch(self, module: str, siblings: list[Service], env: Environment | None, cwd: Path = CHECKOUT) -> Service:
        log_path = self._log_directory / f"{module}-{len(siblings) + 1}.log"
        siblings.append(Service(module, log_path=log_path, env=self._env | dict(env or {}), cwd=cwd))
        return siblings[-1]


def migrate(database_url: str) -> None:
    """Bring a database to the newest schema, by the command that operators use."""
    done = subprocess.run(
        [sys.executable, "-m", "shared.migrations"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=local_environment() | {"TABLEMILL_DATABASE_URL": database_url},
        cwd=CHECKOUT,
    )
    if done.returncode:
        raise RuntimeError(f"the migrations failed:\n{done.stdout}{done.stderr}")
