"""One way to write a Parquet file as xlsx, alone in a process: `python -m benchmarks.peers.xlsx_writers WAY FROM TO`.

Prints seconds and the process's largest resident size as JSON; imports are not counted as time.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pandas as pd
import pyarrow.parquet as pq
import xlsxwriter

from shared.exports import ExportFormat, ExportOptions, write_export


def tablemill(source: Path, target: Path) -> None:
    """As our export job does."""
    with pq.ParquetFile(source) as file:
        batches = file.iter_batches(batch_size=max(1, (1 << 17) // len(file.schema_arrow)), use_threads=False)
        write_export(batches, file.schema_arrow, target, ExportOptions(ExportFormat.XLSX))


def pandas_openpyxl(source: Path, target: Path) -> None:
    """What most people write."""
    pd.read_parquet(source).to_excel(target, index=False, engine="openpyxl")


def pandas_xlsxwriter(source: Path, target: Path) -> None:
    """The same with the other engine."""
    pd.read_parquet(source).to_excel(target, index=False, engine="xlsxwriter")


def openpyxl_write_only(source: Path, target: Path) -> None:
    """Row by row, without formats."""
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    with pq.ParquetFile(source) as file:
        sheet.append(file.schema_arrow.names)
        for batch in file.iter_batches(batch_size=1000):
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                sheet.append(row)
    book.save(target)


def xlsxwriter_plain(source: Path, target: Path) -> None:
    """All cells in memory, types guessed by the library, without formats."""
    with xlsxwriter.Workbook(target) as book, pq.ParquetFile(source) as file:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, file.schema_arrow.names)
        row = 1
        for batch in file.iter_batches(batch_size=1000):
            for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                sheet.write_row(row, 0, values)
                row += 1


def _peak_bytes() -> int:
    """Return the largest resident size since this program began; getrusage would count the parent's, too."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


WAYS: dict[str, Callable[[Path, Path], None]] = {
    way.__name__: way for way in (tablemill, pandas_openpyxl, pandas_xlsxwriter, openpyxl_write_only, xlsxwriter_plain)
}


if __name__ == "__main__":
    began_s = time.perf_counter()
    WAYS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
    seconds = time.perf_counter() - began_s
    print(json.dumps({"seconds": seconds, "peak_bytes": _peak_bytes()}))
