"""Programs that turn a spreadsheet or a CSV file into a table, one a process: `… table_contenders NAME FILE FOLDER`.

Prints one JSON line: seconds of wall and processor time of the work alone, when everything is imported, the peak of
resident memory, and the rows and columns that came out.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

Shape = tuple[int, int]
Work = Callable[[Path, Path], Shape]


def tablemill() -> Work:
    """The whole of it: read, clean, profile, Parquet, report. Every cell is accounted for, or it raises."""
    sys.modules["numpy"] = sys.modules["pandas"] = None  # type: ignore[assignment]  # as in a worker's sandbox
    from worker_service.tables import Limits, ReadOptions, convert

    def work(source: Path, folder: Path) -> Shape:
        report = convert(
            source,
            folder,
            file_name=source.name,
            options=ReadOptions(),
            limits=Limits(),
            on_progress=lambda _: None,
        )
        return report.row_count, report.column_count

    return work


def openpyxl() -> Work:
    """Read-only mode, all values."""
    from openpyxl import load_workbook

    def work(source: Path, _folder: Path) -> Shape:
        book = load_workbook(source, read_only=True, data_only=True)
        rows = [row for page in book for row in page.iter_rows(values_only=True)]
        return len(rows), max(map(len, rows))

    return work


def calamine() -> Work:
    """All values as Python objects."""
    from python_calamine import CalamineWorkbook

    def work(source: Path, _folder: Path) -> Shape:
        rows = CalamineWorkbook.from_path(source).get_sheet_by_index(0).to_python()
        return len(rows), max(map(len, rows))

    return work


def fastexcel() -> Work:
    """To Arrow, types from a sample of rows (its default)."""
    import fastexcel as reader

    def work(source: Path, _folder: Path) -> Shape:
        batch = reader.read_excel(source).load_sheet(0).to_arrow()
        return batch.num_rows, batch.num_columns

    return work


def polars_xlsx() -> Work:
    """Its own default: fastexcel, then polars' own types."""
    import polars

    def work(source: Path, _folder: Path) -> Shape:
        return polars.read_excel(source).shape

    return work


def pandas_xlsx() -> Work:
    """Its own default: openpyxl."""
    import pandas

    def work(source: Path, _folder: Path) -> Shape:
        rows, columns = pandas.read_excel(source).shape
        return rows, columns

    return work


def duckdb_csv() -> Work:
    """COPY to Parquet with types from a sample, then SUMMARIZE; half of the memory bar as its limit for buffers."""
    import duckdb

    def work(source: Path, folder: Path) -> Shape:
        target = folder / "clean.parquet"
        with duckdb.connect(config={"threads": 2, "memory_limit": "256MiB", "temp_directory": str(folder)}) as engine:
            engine.execute(f"COPY (FROM read_csv('{source}')) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
            columns = engine.execute(f"SUMMARIZE FROM read_parquet('{target}')").fetchall()
            rows = engine.execute(f"SELECT count(*) FROM read_parquet('{target}')").fetchall()
        return rows[0][0], len(columns)

    return work


def polars_csv() -> Work:
    """Streaming to Parquet with dates; no profile."""
    import polars

    def work(source: Path, folder: Path) -> Shape:
        target = folder / "clean.parquet"
        polars.scan_csv(source, try_parse_dates=True).sink_parquet(target, compression="zstd")
        scan = polars.scan_parquet(target)
        return scan.select(polars.len()).collect().item(), len(scan.collect_schema())

    return work


def pyarrow_csv() -> Work:
    """Streaming to Parquet, types from the first block; no profile."""
    import pyarrow.csv as reader
    from pyarrow import parquet

    def work(source: Path, folder: Path) -> Shape:
        rows = 0
        stream = reader.open_csv(source)
        with parquet.ParquetWriter(folder / "clean.parquet", stream.schema, compression="zstd") as writer:
            for batch in stream:
                writer.write_batch(batch)
                rows += batch.num_rows
        return rows, len(stream.schema)

    return work


CONTENDERS: dict[str, Callable[[], Work]] = {
    "tablemill, everything": tablemill,
    "openpyxl, reading alone": openpyxl,
    "python-calamine, reading alone": calamine,
    "fastexcel, reading alone": fastexcel,
    "polars, reading alone": polars_xlsx,
    "pandas, reading alone": pandas_xlsx,
    "duckdb, COPY + SUMMARIZE": duckdb_csv,
    "polars, to Parquet alone": polars_csv,
    "pyarrow, to Parquet alone": pyarrow_csv,
}


def main() -> None:
    """Import, work once, tell."""
    name, source, folder = sys.argv[1:]
    work = CONTENDERS[name]()
    wall, cpu = time.perf_counter(), time.process_time()
    rows, columns = work(Path(source), Path(folder))
    wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s, "peak_mib": peak_mib, "rows": rows, "columns": columns}))


if __name__ == "__main__":
    main()
