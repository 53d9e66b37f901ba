"""The two tables that reads are measured on, as clean Parquet files."""

import random
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from examples.sample import write_sample
from worker_service.tables import Limits, ReadOptions, convert

_GROUP_ROWS = Limits().row_group_rows
_TYPES: dict[str, pa.DataType] = {
    "visit_id": pa.int64(),
    "patient": pa.string(),
    "ward": pa.string(),
    "age": pa.int64(),
    "value": pa.float64(),
    "urgent": pa.bool_(),
    "day": pa.date32(),
    "measured_at": pa.timestamp("us"),
}


def clean_sample(directory: Path, rows: int) -> Path:
    """Return the sample workbook of `rows` x 151, cleaned."""
    workbook, out = directory / f"sample-{rows}.xlsx", directory / f"sample-{rows}"
    out.mkdir()
    write_sample(workbook, rows=rows)
    convert(workbook, out, file_name=workbook.name, options=ReadOptions(), limits=Limits(), on_progress=lambda _: None)
    return out / "clean.parquet"


def large_table(path: Path, rows: int) -> None:
    """Write `rows` x 8 of all types, in the layout of the cleaner: zstd, row groups of as many rows.

    Ids and patients differ from row to row; the other columns are random, and the same in each row group.
    """
    dictionary: Any = ["ward"]  # the stubs know only the boolean
    schema, drawn = pa.schema(_TYPES), _drawn(random.Random(20240305), _GROUP_ROWS)
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1, use_dictionary=dictionary) as writer:
        for start in range(0, rows, _GROUP_ROWS):
            visits = range(start, min(start + _GROUP_ROWS, rows))
            own = [pa.array(visits, pa.int64()), pa.array([f"P{visit // 4:07}" for visit in visits])]
            columns = [*own, *(column.slice(0, len(visits)) for column in drawn)]
            writer.write_table(pa.table(columns, schema=schema))


def _drawn(numbers: random.Random, rows: int) -> list[Any]:
    wards = [f"病区{number}" for number in range(30)]
    values: list[list[Any]] = [
        numbers.choices(wards, k=rows),
        numbers.choices(range(100), k=rows),
        [numbers.gauss(5, 2) for _ in range(rows)],
        numbers.choices([True, False, None], k=rows),
        numbers.choices([date(2019, 1, 1) + timedelta(days) for days in range(1800)], k=rows),
        [numbers.randrange(1_600_000_000_000_000, 1_700_000_000_000_000) for _ in range(rows)],
    ]
    return [pa.array(column, dtype) for column, dtype in zip(values, list(_TYPES.values())[2:], strict=True)]
