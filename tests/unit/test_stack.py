"""What starts everything else: it says why something did not start, and leaves nothing behind, however it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.stack import CHECKOUT, Service

_SERVES = """
import json, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print(json.dumps({"event": "serving", "address": "127.0.0.1:7", "metrics_address": ""}), flush=True)
print("it serves", file=sys.stderr, flush=True)
while True:
    signal.pause()
"""

_OWNER = """
import json, signal
from tests.stack import Stack
with Stack(durable=False) as stack:
    facts = {"postgres": stack.postgres.pid, "gcs": stack.gcs.pid, "directory": str(stack.directory)}
    print(json.dumps(facts), flush=True)
    signal.pause()
"""

Start = Callable[[str], Service]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a module of the given code as a service."""
    services = []

    def start(code: str) -> Service:
        (tmp_path / "toy_service.py").write_text(code)
        services.append(Service("toy_service", log_path=tmp_path / "log", env={"PYTHONPATH": str(tmp_path)}))
        return services[-1]

    yield start
    for service in services:
        service.close()


def test_a_service_tells_its_address_and_ends_when_asked(start: Start) -> None:
    service = start(_SERVES)
    service.wait_until_serving()
    assert (service.address, service.alive) == ("127.0.0.1:7", True)
    service.terminate()
    assert service.wait() == 0
    assert not service.alive


def test_a_service_that_cannot_start_says_why(start: Start) -> None:
    service = start("raise SystemExit('no database')")
    with pytest.raises(RuntimeError, match=r"(?s)ended with 1 before it served.*no database"):
        service.wait_until_serving()


def test_a_service_that_never_serves_is_ended(start: Start) -> None:
    service = start("import time; time.sleep(60)")
    with pytest.raises(RuntimeError, match="did not serve within"):
        service.wait_until_serving(timeout_s=0.3)
    assert not service.alive


def test_a_paused_service_goes_on_when_it_is_resumed(start: Start) -> None:
    service = start(_SERVES)
    service.wait_until_serving()
    service.pause()
    os.waitid(os.P_PID, service.pid, os.WSTOPPED)
    assert psutil.Process(service.pid).status() == psutil.STATUS_STOPPED
    service.resume()
    service.terminate()
    assert service.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_outlives_its_owner(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER], cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as owner:
        assert owner.stdout is not None
        facts = json.loads(owner.stdout.readline())
        family = psutil.Process(owner.pid).children(recursive=True)
        assert {facts["postgres"], facts["gcs"]} < {process.pid for process in family}
        owner.send_signal(number)
    deadline = time.monotonic() + 20
    while any(map(_runs, family)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [process for process in family if _runs(process)] == []
    assert not Path(facts["directory"]).exists()


def _runs(process: psutil.Process) -> bool:
    """A zombie does not run: it only waits for whoever inherited it to take note."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
