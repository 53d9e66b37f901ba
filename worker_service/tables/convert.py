"""One file in, clean Parquet and a report out: triage → read → clean → write → profile."""

from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from . import parquet, profile
from .clean import clean
from .columns import Columns, decide_columns
from .csv_reader import CsvGrid
from .duplicates import duplicate_rows
from .errors import ErrorCode, TableError
from .fill import Fills
from .grid import Irregular
from .intake import Intake, Loose
from .model import (
    CLEANING_VERSION,
    ColumnProfile,
    ConversionReport,
    Limits,
    Progress,
    ReadOptions,
)
from .nulls import NullTokens
from .profile_large import profile_large
from .region import Region, locate
from .report import column_reports, column_warnings, columns_sha256, header_choice, table_warnings
from .source import OnProgress, Source, open_source
from .tail import Tail
from .tally import Tally

_THREADS = 2


def convert(
    source: Path,
    out_dir: Path,
    *,
    file_name: str,
    options: ReadOptions,
    limits: Limits,
    on_progress: OnProgress,
) -> ConversionReport:
    """Turn the file at ``source`` into ``out_dir/clean.parquet`` (and ``rejects.parquet`` if there are any).

    ``source`` holds the raw bytes; its own name means nothing, ``file_name`` is what the user called it. ``out_dir``
    exists and is also used for spilling. Raises TableError for a file that cannot be converted, InvariantError if
    a cell went missing (a bug). Same bytes, options and version give the same rows and report.
    """
    opened = open_source(source, out_dir, file_name, options, limits, on_progress)
    region = opened.region or locate(opened.grid, options.header_row)
    with ThreadPoolExecutor(_THREADS) as pool:
        tail = Tail(opened.grid, region)
        intake = _read(opened, tail, NullTokens(options.null_tokens), out_dir, pool, limits, on_progress)
        try:
            columns, decided = decide_columns(opened, region, intake, options)
            tallies = _tallies(columns, intake.row_count)
            nulls = _write(opened, intake, columns, tallies, out_dir, pool, limits, on_progress)
        finally:
            intake.discard()
        for name, account in zip(columns.names, columns.accounts, strict=True):
            account.check(name.name)
        clean_path = out_dir / "clean.parquet"
        parquet.verify(clean_path, intake.row_count, nulls)
        rejects = _rejects(opened, region, tail, intake, columns)
        parquet.write_rejects(out_dir / "rejects.parquet", rejects)
        profiles = _profiles(clean_path, columns, tallies, pool, on_progress)
    told = [
        *opened.warnings,
        *table_warnings(opened.grid, tail, intake, columns),
        *duplicate_rows(clean_path, intake, profiles),
        *decided,
        *column_warnings(columns, intake, limits),
    ]
    reports = column_reports(columns, nulls, profiles)
    return ConversionReport(
        format=opened.kind,
        sheet=opened.sheet,
        encoding=opened.encoding,
        delimiter=opened.delimiter,
        reading=(*opened.reading, header_choice(opened.grid, region, options)),
        cleaning_version=CLEANING_VERSION,
        row_count=intake.row_count,
        column_count=len(columns.names),
        rejects=len(rejects),
        columns=reports,
        columns_sha256=columns_sha256(reports),
        warnings=tuple(told),
    )


def _read(
    source: Source,
    tail: Tail,
    nulls: NullTokens,
    folder: Path,
    pool: Executor,
    limits: Limits,
    on_progress: OnProgress,
) -> Intake:
    """First pass; a text file that proves irregular on the way is read again with the tolerant reader."""
    grid = source.grid
    if grid.width > limits.max_columns:
        raise TableError(
            ErrorCode.LIMIT_EXCEEDED, f"The table has {grid.width:,} columns.", metadata={"limit": "max_columns"}
        )
    covered = [row for merge in grid.merges for row in range(merge.first_row, merge.last_row + 1)]

    def on_rows(done: int) -> None:
        if not source.encoding:  # a text is told by its bytes, of which the total is known
            on_progress(Progress("read", done, 0, "rows"))

    def read() -> Intake:
        intake = Intake(grid.width, limits, folder, pool, pa.array(covered, pa.int64()))
        for evidence in intake.evidence:
            evidence.nulls = nulls
        try:
            intake.read(tail.table(grid.body(tail.region.first_row)), on_rows)
        except BaseException:
            intake.discard()
            raise
        return intake

    try:
        return read()
    except Irregular:
        if not isinstance(grid, CsvGrid):
            raise
        grid.tolerant = True
        tail.restart()
        return read()


def _write(
    source: Source,
    intake: Intake,
    columns: Columns,
    tallies: list[Tally],
    out_dir: Path,
    pool: Executor,
    limits: Limits,
    on_progress: OnProgress,
) -> list[int]:
    """Second pass: clean, fill merged cells down, write; returns the null count of each column."""
    types = [decision.arrow_type for decision in columns.decisions]
    names = [name.name for name in columns.names]
    shape = parquet.schema(names, [name.source for name in columns.names], columns.units, types)
    fills = Fills(source.grid.merges, columns.positions)
    nulls = [0] * len(types)
    done = 0

    def on_written(rows: int) -> None:
        on_progress(Progress("write", rows, intake.row_count, "rows"))

    seen = [intake.evidence[index] for index in columns.positions]
    repetitive = [n.name for n, evidence in zip(columns.names, seen, strict=True) if not evidence.nearly_distinct]
    with parquet.CleanWriter(out_dir / "clean.parquet", shape, repetitive, limits, on_written) as writer:
        for batch in intake.batches():
            texts = [batch.columns[index] for index in columns.positions]
            rows = [batch.rows] * len(texts)
            cleaned = list(pool.map(clean, texts, rows, columns.decisions, columns.accounts))
            cleaned = fills.apply(cleaned, batch.rows, columns.accounts)
            nulls = [count + column.null_count for count, column in zip(nulls, cleaned, strict=True)]
            writer.append(cleaned)
            list(pool.map(Tally.add, tallies, cleaned))
            done += len(batch)
            on_progress(Progress("clean", done, intake.row_count, "rows"))
        told = column_reports(columns, nulls, [ColumnProfile()] * len(names))
        writer.note(
            {
                "tablemill.cleaning_version": CLEANING_VERSION,
                "tablemill.format": source.kind,
                "tablemill.sheet": source.sheet,
                "tablemill.columns_sha256": columns_sha256(told),
            }
        )
    return nulls


def _rejects(source: Source, region: Region, tail: Tail, intake: Intake, columns: Columns) -> pa.Table:
    """Every source cell that is in no clean column, by row."""
    grid, loose = source.grid, list(intake.loose)
    outside = [(index, "PREAMBLE") for index in region.preamble]
    outside += [(region.units_row, "UNITS_ROW")] if region.units_row is not None else []
    for index, reason in outside:
        row = enumerate(grid.head[index], start=1)
        loose += [Loose(grid.head_rows[index], number, text, reason) for number, text in row if text.strip()]
    if isinstance(grid, CsvGrid):
        loose += [Loose(cell.row, 0, cell.raw, "EXTRA_CELL") for cell in grid.all_overflow(region.first_row)]
    names = {index + 1: name.name for index, name in zip(columns.positions, columns.names, strict=True)}
    cells = [(item.row, names.get(item.column), item.raw, item.reason) for item in loose]
    return parquet.rejects([*tail.aside(names), *parquet.as_rejects(cells)])


def _tallies(columns: Columns, rows: int) -> list[Tally]:
    """One a column of a large table; small tables are profiled when they are written."""
    return [Tally(d.arrow_type, rows) for d in columns.decisions] if rows > profile.EXACT_ROWS else []


def _profiles(
    path: Path, columns: Columns, tallies: list[Tally], pool: Executor, on_progress: OnProgress
) -> list[ColumnProfile]:
    profiles = []
    names = [name.name for name in columns.names]
    if not tallies:
        for done, found in enumerate(pool.map(profile.exact, profile.columns_in_groups(path)), start=1):
            profiles.append(found)
            on_progress(Progress("profile", done, len(names), "columns"))
        return profiles
    samples = {index: tally.sample() for index, tally in enumerate(tallies) if tally.has_many}
    on_progress(Progress("profile", len(names) - len(samples), len(names), "columns"))
    shares = [pool.submit(profile_large, path, names, samples, index, _THREADS) for index in range(_THREADS)]
    found_by_column = {column: found for share in shares for column, found in share.result().items()}
    on_progress(Progress("profile", len(names), len(names), "columns"))
    return [found_by_column.get(index) or tally.profile() for index, tally in enumerate(tallies)]
