"""The queues that can run here: each installed into a throw-away folder, none of it into this checkout.

Whatever cannot be installed is named with its reason, and the others go on.
"""

import json
import re
import shutil
import subprocess
import sys
import threading
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.harness import Report
from tests.stack import CHECKOUT, Stack

OURS = "tablemill"
_HERE = Path(__file__).parent
_PYTHON_PEERS = {
    "procrastinate": ["procrastinate==3.10.0", "psycopg[binary,pool]", "uvloop"],
    "pgqueuer": ["pgqueuer==1.6.0", "asyncpg", "uvloop"],
}
_NODE_PEERS = {"pg-boss": "pg_boss.mjs", "graphile-worker": "graphile_worker.mjs"}
_NODE_WANTED = (22, 18)
_ANSWER_TIMEOUT_S = 900.0
_ASKING_TIMEOUT_S = 240.0
_INSTALL_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Sizes:
    """How much a queue is given to do, so that a slow one is through in time."""

    default_jobs: int
    best_jobs: int
    clean_s: int = 10
    held_s: int = 30

    def scaled(self, scale: float) -> "Sizes":
        """Return the same at another scale, with at least something left of each."""
        jobs = [max(2, int(number * scale)) for number in (self.default_jobs, self.best_jobs)]
        seconds = [max(3, int(number * scale)) for number in (self.clean_s, self.held_s)]
        return Sizes(*jobs, *seconds)


_SIZES = {
    OURS: Sizes(3_000, 30_000, held_s=120),
    "pgqueuer": Sizes(3_000, 30_000),
    "procrastinate": Sizes(1_500, 3_000),
    "pg-boss": Sizes(10, 30_000),  # its default is one job in two seconds
    "graphile-worker": Sizes(3_000, 30_000),
    "River": Sizes(3_000, 30_000),
}


@dataclass(frozen=True)
class Contender:
    """A queue that can run: how its adapter is started, on which database, and how much it is given to do."""

    name: str
    adapter: tuple[str, ...]
    sizes: Sizes
    language: str = "Python"
    url: str = ""
    version: str = ""

    @property
    def ours(self) -> bool:
        """Whether it is what all this is about."""
        return self.name == OURS

    def afresh(self, stack: Stack) -> "Contender":
        """Return the same with a database that nothing was measured on yet. Raises RuntimeError."""
        fresh = replace(self, url=stack.postgres.create_database())
        return replace(fresh, version=fresh.ask("install")["version"])

    def ask(self, question: str, number: int = 0) -> dict[str, Any]:
        """Return what its adapter answers. Raises RuntimeError when it broke or took too long."""
        try:
            done = subprocess.run(
                self._command(question, number),
                cwd=CHECKOUT,
                capture_output=True,
                text=True,
                timeout=_ANSWER_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"no answer to {question} in {_ANSWER_TIMEOUT_S:.0f} s") from None
        lines = done.stdout.splitlines()
        if done.returncode or not lines:
            sys.stderr.write(done.stderr)
            raise RuntimeError(f"{question} broke: {(done.stderr.strip().splitlines() or ['silently'])[-1][:200]}")
        found: dict[str, Any] = json.loads(lines[-1])
        return found

    @contextmanager
    def asking(self, question: str, number: int) -> Iterator[subprocess.Popen[str]]:
        """Ask something that does not come to an end by itself, and read its words. It is killed in the end."""
        command = self._command(question, number)
        with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
            limit = threading.Timer(_ASKING_TIMEOUT_S, process.kill)
            limit.start()
            try:
                yield process
            finally:
                limit.cancel()
                process.kill()

    def value(self, query: str) -> Any:
        """Return one value from its database."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(query.encode()).fetchone()
            return row[0] if row else None

    def run(self, statement: str) -> None:
        """Run one statement in its database."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def _command(self, question: str, number: int) -> list[str]:
        return [*self.adapter, self.url, question, str(number)]


def install(directory: Path, scale: float, out: Report) -> list[Contender]:
    """Install all that can run here below `directory`; ours, which is here, comes first."""
    found = [Contender(OURS, (sys.executable, "-m", "benchmarks.peers.queue_tablemill"), _SIZES[OURS])]
    peers: list[tuple[Sequence[str], Callable[[], list[Contender]]]] = [
        *(([name], lambda name=name: [_python(directory, name)]) for name in _PYTHON_PEERS),
        (list(_NODE_PEERS), lambda: _node(directory)),
        (["River"], lambda: [_go(directory)]),
    ]
    for names, make in peers:
        try:
            found += make()
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            out.note(f"not run: {', '.join(names)}: {error}")
    return [replace(contender, sizes=contender.sizes.scaled(scale)) for contender in found]


def _python(directory: Path, name: str) -> Contender:
    folder = directory / name
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    _do([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *_PYTHON_PEERS[name]], folder)
    return Contender(name, (python, "-m", f"benchmarks.peers.queue_{name}"), _SIZES[name])


def _node(directory: Path) -> list[Contender]:
    if not shutil.which("npm"):
        raise RuntimeError("npm is not here")
    folder = directory / "node"
    shutil.copytree(_HERE / "node", folder, ignore=shutil.ignore_patterns("node_modules"))
    _do(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], folder)
    # They need a newer Node than many machines have, so one comes with them where there is a package of it.
    shipped = folder / "node_modules" / ".bin" / "node"
    node = str(shipped) if shipped.exists() else "node"
    version = _do([node, "--version"], folder)
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < _NODE_WANTED:
        raise RuntimeError(f"they need Node {'.'.join(map(str, _NODE_WANTED))}, here is {version.strip()}")
    return [
        Contender(name, (node, str(folder / adapter)), _SIZES[name], language="Node")
        for name, adapter in _NODE_PEERS.items()
    ]


def _go(directory: Path) -> Contender:
    if not shutil.which("go"):
        raise RuntimeError("Go is not here")
    binary = directory / "river"
    _do(["go", "build", "-buildvcs=false", "-mod=readonly", "-o", str(binary), "."], _HERE / "go_river")
    return Contender("River", (str(binary),), _SIZES["River"], language="Go")


def _do(command: Sequence[str], folder: Path) -> str:
    """Run a step of an installation; return what it printed. What it says of a failure goes to the terminal alone."""
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, text=True, timeout=_INSTALL_TIMEOUT_S, check=False
    )
    if done.returncode:
        step = " ".join([Path(command[0]).name, *command[1:3]])
        raise RuntimeError(f"{step} failed with exit code {done.returncode}")
    return done.stdout
