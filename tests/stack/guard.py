"""Nothing outlives us: a small process that cleans up when its parent dies without having done so itself.

The parent tells it through a pipe which process groups and directories it has, and when it let go of them. When
the pipe ends (normal exit, exception, even kill -9), whatever is still held is stopped and removed. A pipe rather
than PR_SET_PDEATHSIG, because that signal follows the thread that made the child instead of the process, knows
nothing of directories, and exists on Linux only.

The process runs this file with nothing but the standard library: `python -I -S guard.py`.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

_STOP_TIMEOUT_S = 10.0


class Guard:
    """The parent's side. The process exists only while something is held, so it never outlives its use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: set[str] = set()
        self._process: subprocess.Popen[bytes] | None = None

    def hold_group(self, pid: int, stop_signal: int) -> None:
        """End the process group led by `pid`, by `stop_signal` to its leader, should this process die."""
        self._tell("+", f"group {stop_signal} {pid}")

    def release_group(self, pid: int, stop_signal: int) -> None:
        """Forget the group: it has ended."""
        self._tell("-", f"group {stop_signal} {pid}")

    def hold_directory(self, path: Path) -> None:
        """Remove the directory, should this process die."""
        self._tell("+", f"directory {path}")

    def release_directory(self, path: Path) -> None:
        """Forget the directory: it is gone."""
        self._tell("-", f"directory {path}")

    def _tell(self, sign: str, what: str) -> None:
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", __file__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for the parent
                )
            pipe = self._process.stdin
            if pipe is None:
                raise RuntimeError("the guard was started without a pipe")
            pipe.write(f"{sign}{what}\n".encode())
            pipe.flush()
            (self._held.add if sign == "+" else self._held.discard)(what)
            if not self._held:
                pipe.close()
                self._process.wait()
                self._process = None


guard = Guard()


def _main() -> None:
    held: dict[str, None] = {}  # in the order of holding
    for line in sys.stdin:
        if line[0] == "+":
            held[line[1:-1]] = None
        else:
            held.pop(line[1:-1], None)
    groups = [what.split()[1:] for what in held if what.startswith("group ")]
    for number, pid in reversed(groups):
        _signal(int(pid), int(number))
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    for _, pid in groups:
        # They are nobody's children by now, so there is no event to wait for.
        while _is_alive(int(pid)) and time.monotonic() < deadline:
            time.sleep(0.02)
        with contextlib.suppress(OSError):
            os.killpg(int(pid), signal.SIGKILL)
    for what in held:
        if what.startswith("directory "):
            shutil.rmtree(what.removeprefix("directory "), ignore_errors=True)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, number)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # Whoever inherited the ended process may take seconds to notice, during which it is a zombie.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc/self").exists()  # alive, where the system has no /proc to ask


if __name__ == "__main__":
    _main()
