"""Milling beside reading: what do clean data, a profile and a report cost beyond the best readers?

Question: how long does a file take in a process that has imported everything, how much processor time and memory, and
what do the usual libraries take for less work on the same file? Each contender runs in a process of its own, one after
the other, in turn where there are several rounds. TABLEMILL_BENCH_SCALE (1 by default) shrinks the two large files.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random

import duckdb

from benchmarks.harness import Report
from examples.sample import write_sample
from examples.sample_xlsx import Cell, Serial, write_workbook
from tests.stack import CHECKOUT

_SCALE = float(os.environ.get("TABLEMILL_BENCH_SCALE", "1"))
_OURS, _DUCKDB = "tablemill, everything", "duckdb, COPY + SUMMARIZE"
_OPENPYXL, _POLARS = "openpyxl, reading alone", "polars, reading alone"
_READERS = ("python-calamine, reading alone", "fastexcel, reading alone", _POLARS)
_MIB = 1 << 20

Figures = dict[str, float]


async def run(out: Report) -> None:
    """Measure the three files."""
    with tempfile.TemporaryDirectory(prefix="tablemill-bench-") as name:
        folder = Path(name)
        _sample(out, folder)
        _workbook(out, folder)
        _csv(out, folder)
    out.note(f"Scale {_SCALE:g}. Medians of the rounds; memory is the largest peak, imports counted.")
    out.note("The readers' tables hold what their samples of rows told them; ours is checked cell by cell.")


def _sample(out: Report, folder: Path) -> None:
    path = folder / "sample.xlsx"
    write_sample(path)
    found = _measure(out, "sample 3,339 x 151", path, (_OURS, _OPENPYXL, *_READERS, "pandas, reading alone"), rounds=3)
    ours = found[_OURS]["wall_s"]
    out.bar("sample, everything", measured=ours, bar=0.5, unit="s")
    faster = found[_OPENPYXL]["wall_s"] / ours
    out.bar("sample, beside openpyxl's read", measured=faster, bar=5, unit="times faster", higher_is_better=True)


def _workbook(out: Report, folder: Path) -> None:
    path = folder / "workbook.xlsx"
    rows = round(200_000 * _SCALE)
    write_workbook(path, "data", _wide_rows(rows), [])
    found = _measure(out, f"workbook {rows:,} x 50", path, (_OURS, *_READERS), rounds=1)
    ratio = found[_OURS]["wall_s"] / found[_POLARS]["wall_s"]
    out.bar("workbook, beside polars' read", measured=ratio, bar=2, unit="of its time")
    out.bar("workbook, peak", measured=found[_OURS]["peak_mib"], bar=800, unit="MiB")
    path.unlink()


def _csv(out: Report, folder: Path) -> None:
    path = folder / "table.csv"
    size_mib = _write_csv(path, round(9_900_000 * _SCALE)) / _MIB
    contenders = (_OURS, _DUCKDB, "polars, to Parquet alone", "pyarrow, to Parquet alone")
    found = _measure(out, f"CSV {size_mib:,.0f} MiB x 12", path, contenders, rounds=1)
    rows = {figures["rows"] for figures in found.values()}
    if len(rows) != 1:
        raise RuntimeError(f"the contenders found different numbers of rows: {rows}")
    ratio = found[_OURS]["wall_s"] / found[_DUCKDB]["wall_s"]
    out.bar("CSV, beside duckdb", measured=ratio, bar=1, unit="of its time")
    out.bar("CSV, peak", measured=found[_OURS]["peak_mib"], bar=512, unit="MiB")


def _measure(out: Report, what: str, path: Path, contenders: tuple[str, ...], *, rounds: int) -> dict[str, Figures]:
    """Medians of each contender's figures, also as rows of the report."""
    runs: dict[str, list[Figures]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name in contenders:
            runs[name].append(_run(name, path))
    found = {}
    for name, figures in runs.items():
        out.samples(f"{what}, {name}: wall_s", [one["wall_s"] for one in figures])
        found[name] = {key: statistics.median(one[key] for one in figures) for key in figures[0]}
        found[name]["peak_mib"] = max(one["peak_mib"] for one in figures)
        shown = {key: found[name][key] for key in ("wall_s", "cpu_s", "peak_mib")}
        out.row(f"{what}: {name}", **shown)
    return found


def _run(name: str, path: Path) -> Figures:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        command = [sys.executable, "-m", "benchmarks.peers.table_contenders", name, str(path), folder]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def _wide_rows(rows: int) -> list[list[Cell]]:
    """A header and rows of 50 columns; 500 drawn rows in turn, each time with a number of its own."""
    random = Random(7)
    words = ["心内科", "呼吸科", "高血压", "London", "see report", "阴性", "正常"]
    drawn = [[_wide_cell(random, column, words) for column in range(1, 50)] for _ in range(500)]
    header: list[Cell] = ["number", *(f"column {column}" for column in range(1, 50))]
    return [header, *([number, *drawn[number % 500]] for number in range(rows))]


def _wide_cell(random: Random, column: int, words: list[str]) -> Cell:
    if random.random() < 0.05:
        return None
    match column % 5:
        case 0:
            return random.choice(words)
        case 1:
            return Serial(random.randint(36_000, 45_000))
        case 2:
            return random.randint(0, 500)
        case _:
            return round(random.gauss(100, 20), 2)


def _write_csv(path: Path, rows: int) -> int:
    """A CSV of 12 mixed columns, the same each time; returns its size in bytes."""
    columns = """
        i AS id, printf('PAT-%012d', (hash(i) % 2000000)::INT) AS patient, 18 + (hash(i, 1) % 77)::INT AS age,
        ['男', '女'][1 + (hash(i, 2) % 2)::INT] AS sex, DATE '2015-01-01' + (hash(i, 3) % 3650)::INT AS admitted,
        TIMESTAMP '2015-01-01' + INTERVAL 1 SECOND * (hash(i, 4) % 315360000)::INT AS sampled,
        round(120 + (hash(i, 5) % 400) / 10, 1) AS sodium, round((hash(i, 6) % 90000) / 1000, 3) AS crp,
        round((hash(i, 7) % 10000000) / 100, 2) AS cost,
        ['心内科', '呼吸科', '骨科', 'London', 'Paris', 'New York'][1 + (hash(i, 8) % 6)::INT] AS ward,
        ['yes', 'no'][1 + (hash(i, 9) % 2)::INT] AS smoker,
        CASE WHEN hash(i, 10) % 2 = 0 THEN printf('see report %d of this ward', (hash(i, 11) % 100)::INT) END AS note
    """
    with duckdb.connect() as engine:
        engine.execute(f"COPY (SELECT {columns} FROM range(1, {rows + 1}) r(i)) TO '{path}' (HEADER)")
    return path.stat().st_size
