"""What all benchmarks share: a report that prints and keeps the figures, percentiles, and memory of process trees.

A benchmark is a module of this folder with one function:

    async def run(out: Report) -> None:
        waits_ms = [...]
        out.samples("wait_ms", waits_ms)
        out.row("tablemill", p50_ms=percentile(waits_ms, 0.5), p99_ms=percentile(waits_ms, 0.99))
        out.row("peer 1.2", p50_ms=4.1, p99_ms=80.0)
        out.bar("p99 wait", measured=percentile(waits_ms, 0.99), bar=50.0, unit="ms")
"""

import json
import math
import os
import platform
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from tests.stack import CHECKOUT, postgres_version

RESULTS = Path(__file__).parent / "results"
_LIBRARIES = (
    "duckdb",
    "fastexcel",
    "google-cloud-storage",
    "grpcio",
    "openpyxl",
    "protobuf",
    "psycopg",
    "pyarrow",
    "pandas",
    "polars",
    "python-calamine",
    "uvloop",
    "xlsxwriter",
)
_SAMPLING_INTERVAL_S = 0.05
_MOST_COLUMNS = 10

Figure = float | int | str


@dataclass(frozen=True)
class Bar:
    """A figure and what it must reach."""

    name: str
    measured: float
    bar: float
    unit: str
    higher_is_better: bool

    @property
    def met(self) -> bool:
        """Whether the figure reaches the bar."""
        return self.measured >= self.bar if self.higher_is_better else self.measured <= self.bar

    def __str__(self) -> str:
        verdict = "met" if self.met else "missed"
        measured, bar = (f"{_shown(figure)} {self.unit}".rstrip() for figure in (self.measured, self.bar))
        return f"bar {self.name}: {measured} vs {bar}: {verdict}"


@dataclass
class Report:
    """What one benchmark found."""

    name: str
    _rows: dict[str, dict[str, Figure]] = field(default_factory=dict)
    _bars: list[Bar] = field(default_factory=list)
    _samples: dict[str, list[float]] = field(default_factory=dict)
    _notes: list[str] = field(default_factory=list)

    def row(self, subject: str, **figures: Figure) -> None:
        """Add a row to the table: who was measured, and figures whose names say their units."""
        self._rows[subject] = figures

    def bar(self, name: str, *, measured: float, bar: float, unit: str, higher_is_better: bool = False) -> None:
        """Hold a figure against its bar."""
        self._bars.append(Bar(name, measured, bar, unit, higher_is_better))

    def samples(self, name: str, values: Sequence[float]) -> None:
        """Keep the raw values behind the figures; the name says their unit."""
        self._samples[name] = list(values)

    def note(self, text: str) -> None:
        """Add a sentence that a reader of the figures needs."""
        self._notes.append(text)

    def print(self, console: Console) -> None:
        """Print the table, the notes, and a line per bar."""
        console.print(self._table())
        for line in [*self._notes, *map(str, self._bars)]:
            console.print(line, markup=False, soft_wrap=True)

    def _table(self) -> Table:
        """Return a line for each subject; with many figures, which no terminal is wide enough for, a line for each."""
        names = list(dict.fromkeys(name for figures in self._rows.values() for name in figures))
        table = Table(title=self.name, title_justify="left")
        table.add_column("", no_wrap=True)
        if len(names) <= _MOST_COLUMNS:
            for name in names:
                table.add_column(name, justify="right")
            for subject, figures in self._rows.items():
                table.add_row(subject, *(_shown(figures.get(name, "")) for name in names))
        else:
            for subject in self._rows:
                table.add_column(subject, justify="right")
            for name in names:
                table.add_row(name, *(_shown(figures.get(name, "")) for figures in self._rows.values()))
        return table

    def save(self) -> Path:
        """Write everything to benchmarks/results/NAME.json, with where and when it was measured."""
        facts = {
            "benchmark": self.name,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": _commit(),
            "machine": _machine(),
            "versions": _versions(),
            "rows": self._rows,
            "bars": [asdict(bar) | {"met": bar.met} for bar in self._bars],
            "notes": self._notes,
            "samples": self._samples,
        }
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{self.name}.json"
        path.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
        return path


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` (0 to 1) of the values do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


@dataclass
class Memory:
    """The memory of a process tree while it was watched: the sum of resident sizes, shared pages counted each time."""

    samples_bytes: list[int] = field(default_factory=list)

    @property
    def peak_bytes(self) -> int:
        """The largest sample."""
        return max(self.samples_bytes)


@contextmanager
def watch_memory(pid: int) -> Iterator[Memory]:
    """Sample the memory of a process and all its descendants, 20 times a second, from a thread."""
    memory = Memory([_tree_rss_bytes(pid)])
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(_SAMPLING_INTERVAL_S):
            memory.samples_bytes.append(_tree_rss_bytes(pid))

    thread = threading.Thread(target=sample, name="watch-memory")
    thread.start()
    try:
        yield memory
    finally:
        stop.set()
        thread.join()


def _tree_rss_bytes(pid: int) -> int:
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    return sum(map(_rss_bytes, tree))


def _rss_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _shown(figure: Figure) -> str:
    if isinstance(figure, str):
        return figure
    return f"{figure:,.4g}" if isinstance(figure, float) and abs(figure) < 1000 else f"{figure:,.0f}"


def _machine() -> dict[str, Figure]:
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": psutil.virtual_memory().total,
        "kernel": f"{platform.system()} {platform.release()}",
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _versions() -> dict[str, str]:
    libraries = {name: metadata.version(name) for name in _LIBRARIES}
    return {"python": platform.python_version(), "postgres": postgres_version(), **libraries}


def _commit() -> str:
    """Return the commit, marked when files differ from it; `unknown` outside a clone."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
