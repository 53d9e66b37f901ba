"""The clean file as other tools see it."""

import datetime as dt
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from worker_service.tables import Limits, parquet

from .support import Converter, Result

CSV = "病历号,是否吸烟,年龄,体重(kg),出生日期,采样时间\n" + "".join(
    f"{number:05},{'是' if number % 2 else '否'},{number % 90},{number / 4},1980-01-{number % 28 + 1:02},"
    f"2024-03-05 10:{number % 60:02}:00.123456\n"
    for number in range(500)
)
CSV += "00500,,NA,,,\n"


@pytest.fixture
def milled(run: Converter) -> Result:
    return run(CSV, limits=Limits(row_group_rows=200))


def rows_of_arrow(path: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in pq.read_table(path).to_pylist()]


def rows_of_polars(path: str) -> list[tuple[Any, ...]]:
    return pl.read_parquet(path).rows()


def rows_of_duckdb(path: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        return connection.execute("FROM read_parquet(?)", [path]).fetchall()


def rows_of_pandas(path: str) -> list[tuple[Any, ...]]:
    frame = pd.read_parquet(path, dtype_backend="pyarrow")
    return [
        tuple(
            None if pd.isna(value) else value.to_pydatetime() if isinstance(value, pd.Timestamp) else value
            for value in row
        )
        for row in frame.itertuples(index=False, name=None)
    ]


@pytest.mark.parametrize("rows_of", [rows_of_polars, rows_of_duckdb, rows_of_pandas])
def test_every_reader_sees_the_same(milled: Result, rows_of: Any) -> None:
    expected = rows_of_arrow(str(milled.clean))
    assert expected[1] == (
        "00001", True, 1, 0.25, dt.date(1980, 1, 2), dt.datetime(2024, 3, 5, 10, 1, 0, 123456),
    )  # fmt: skip
    assert expected[-1] == ("00500", None, None, None, None, None)
    assert rows_of(str(milled.clean)) == expected


def test_names_types_and_facts(milled: Result) -> None:
    file = pq.ParquetFile(milled.clean)
    assert [str(field.type) for field in file.schema_arrow] == [
        "string", "bool", "int64", "double", "date32[day]", "timestamp[us]",
    ]  # fmt: skip
    field = file.schema_arrow.field("体重(kg)")
    assert field.metadata is not None
    assert {key: value.decode() for key, value in field.metadata.items() if key != b"PARQUET:field_id"} == {
        b"source_name": "体重(kg)",
        b"unit": "kg",
    }
    facts = file.metadata.metadata or {}
    assert facts[b"tablemill.format"] == b"csv"
    told = milled.report.to_json()["columns"]
    for column in told:
        column["profile"] = None
    digest = sha256(json.dumps(told, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
    assert facts[b"tablemill.columns_sha256"].decode() == milled.report.columns_sha256 == digest


def test_layout(milled: Result) -> None:
    footer = pq.ParquetFile(milled.clean).metadata
    assert [footer.row_group(index).num_rows for index in range(footer.num_row_groups)] == [200, 200, 101]
    for index in range(footer.num_columns):
        chunk = footer.row_group(0).column(index)
        assert chunk.compression == "ZSTD"
        assert chunk.statistics is not None
        assert chunk.statistics.has_min_max
        assert chunk.has_column_index
        assert chunk.has_offset_index
    assert "RLE_DICTIONARY" in footer.row_group(0).column(2).encodings


def test_row_groups_are_bounded_by_what_they_take_in_memory(tmp_path: Path) -> None:
    texts, path = pa.array(["长" * 300_000] * 20), tmp_path / "clean.parquet"
    shape = parquet.schema(["a"], ["a"], [""], [pa.string()])
    with parquet.CleanWriter(path, shape, ["a"], Limits(), lambda rows: None) as writer:
        for _ in range(5):
            writer.append([texts])
    footer = pq.read_metadata(path)
    assert [footer.row_group(group).num_rows for group in range(footer.num_row_groups)] == [80, 20]
    assert path.stat().st_size < 10 << 20, "small on disk"
