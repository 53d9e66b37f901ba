"""A child process with a log file, in a group of its own, that never outlives us; and a place for its files."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

from tests.stack.guard import guard

CHECKOUT = Path(__file__).resolve().parents[2]

# The path of a Unix socket has at most 107 bytes, and a few folders and a name follow.
_LONGEST_BASE_BYTES = 50

_MEMORY = Path("/dev/shm")
_LEAST_MEMORY_BYTES = 2 << 30


class Process:
    """A running command.

    `log_path` gets its stderr, and its stdout unless `capture_stdout`. `orphan_signal` is what ends it should this
    process die without a chance to clean up.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path = CHECKOUT,
        user: str | None = None,
        capture_stdout: bool = False,
        orphan_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.log_path = log_path
        self._orphan_signal = orphan_signal
        with log_path.open("ab") as log:
            self._popen = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if capture_stdout else log,
                stderr=log,
                env=local_environment() | dict(env or {}),
                cwd=cwd,
                user=user,
                extra_groups=[] if user else None,
                start_new_session=True,
            )
        guard.hold_group(self.pid, orphan_signal)

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its process group."""
        return self._popen.pid

    @property
    def stdout(self) -> IO[bytes]:
        """What the process prints, when that is captured."""
        if self._popen.stdout is None:
            raise RuntimeError("stdout of this process goes to its log")
        return self._popen.stdout

    @property
    def returncode(self) -> int | None:
        """The exit code; None while the process runs; negative when a signal ended it."""
        return self._popen.poll()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        self._popen.send_signal(number)

    def kill(self) -> None:
        """End the process alone, at once, as the kernel does when memory is short; return when it is gone."""
        self._popen.kill()
        self._popen.wait()

    def pause(self) -> None:
        """Freeze the process and its descendants, as a suspended machine would."""
        self._signal_tree(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen process and its descendants run on."""
        self._signal_tree(signal.SIGCONT)

    def wait(self, timeout_s: float = 30.0) -> int:
        """Wait for the end; return the exit code. Raises subprocess.TimeoutExpired."""
        return self._popen.wait(timeout_s)

    def close(self) -> None:
        """Kill whatever is left of the process, its descendants and its group, and let go of it. May be repeated."""
        self._signal_tree(signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()
        if self._popen.stdout is not None:
            self._popen.stdout.close()
        guard.release_group(self.pid, self._orphan_signal)

    def log_text(self) -> str:
        """Everything the process has logged so far."""
        return self.log_path.read_text(errors="replace")

    def log_tail(self, lines: int = 40) -> str:
        """The last lines of the log."""
        return "\n".join(self.log_text().splitlines()[-lines:])

    def _signal_tree(self, number: signal.Signals) -> None:
        """Signal the process, then its descendants, which may be in sessions of their own."""
        if self.returncode is not None:
            return
        root = psutil.Process(self.pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


def local_environment() -> dict[str, str]:
    """Return our environment without settings meant for other services, and with local traffic kept off proxies."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TABLEMILL_") and name != "STORAGE_EMULATOR_HOST"
    }
    hosts = ",".join(filter(None, [kept.get("NO_PROXY") or kept.get("no_proxy"), "127.0.0.1,localhost"]))
    return kept | {"NO_PROXY": hosts, "no_proxy": hosts}


@contextlib.contextmanager
def temporary_directory(*, in_memory: bool = False) -> Iterator[Path]:
    """Yield a new directory whose path is short and which other users can pass through but not list.

    With `in_memory` it is in RAM, where there is enough of that: making a database is ten times as fast there.
    """
    path = Path(tempfile.mkdtemp(prefix="tablemill-", dir=_base_directory(in_memory)))
    guard.hold_directory(path)
    try:
        path.chmod(0o711)
        yield path
    finally:
        shutil.rmtree(path)
        guard.release_directory(path)


def reachable_by_others(path: Path) -> bool:
    """Say whether every user may pass through to `path`."""
    return all(folder.stat().st_mode & 0o001 for folder in [path, *path.parents])


def _base_directory(in_memory: bool) -> Path:
    if in_memory and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _LEAST_MEMORY_BYTES:
        return _MEMORY
    usual = Path(tempfile.gettempdir()).resolve()
    fits = len(os.fsencode(usual)) <= _LONGEST_BASE_BYTES
    return usual if fits and reachable_by_others(usual) else Path("/tmp")
