"""A Parquet file as a grid: its values as text, cleaned like those of any other table."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .arrow import Array, pc
from .errors import ErrorCode, TableError, limit_exceeded
from .grid import HEAD_ROWS, Batch, Merge
from .inflate import check_inflated
from .model import Limits

_BATCH_CELLS = 500_000


@dataclass
class ParquetGrid:
    """Rows under ``names``; row 0 holds the names, row N is the file's Nth row. See Grid."""

    path: Path
    names: list[str]
    row_count: int
    on_rows: Callable[[int], None]
    merges: list[Merge] = field(default_factory=list)

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.names)

    @cached_property
    def head(self) -> list[list[str]]:
        """The names and the first rows."""
        first = next(self._batches(HEAD_ROWS), None)
        columns = [column.slice(0, HEAD_ROWS - 1).to_pylist() for column in first.columns] if first else []
        return [self.names, *([cell or "" for cell in row] for row in zip(*columns, strict=True))]

    @property
    def head_rows(self) -> list[int]:
        """Their source rows; 0 for the names."""
        return list(range(min(HEAD_ROWS, self.row_count + 1)))

    def body(self, first_row: int) -> Iterator[Batch]:
        """All rows; ``first_row`` can only be the first."""
        yield from islice(self._batches(max(1, min(65_536, _BATCH_CELLS // self.width))), first_row - 1, None)

    def _batches(self, rows: int) -> Iterator[Batch]:
        done = 0
        try:
            with pq.ParquetFile(self.path) as file:
                for batch in file.iter_batches(rows, use_threads=False):
                    numbers = pa.array(range(done + 1, done + len(batch) + 1), pa.int64())
                    done += len(batch)
                    yield Batch([as_text(column) for column in batch.columns], numbers)
                    self.on_rows(done)
        except (pa.ArrowException, OSError) as error:
            raise _corrupt() from error


def open_parquet(path: Path, limits: Limits, on_rows: Callable[[int], None]) -> ParquetGrid:
    """Read the footer of the file at ``path``; raises FILE_CORRUPT, EMPTY_FILE or LIMIT_EXCEEDED."""
    try:
        with pq.ParquetFile(path) as file:
            names, rows = file.schema_arrow.names, file.metadata.num_rows
            groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
            inflated = sum(group.total_byte_size for group in groups)
    except (pa.ArrowException, OSError) as error:
        raise _corrupt() from error
    if not names:
        raise TableError(ErrorCode.EMPTY_FILE, "The Parquet file has no columns; upload one with data.")
    if len(names) > limits.max_columns:
        raise limit_exceeded("max_columns", limits.max_columns, f"{len(names):,} columns", "split the table.")
    if rows > limits.max_rows:
        raise limit_exceeded("max_rows", limits.max_rows, f"{rows:,} rows", "split the file.")
    check_inflated(path.stat().st_size, inflated, limits)
    return ParquetGrid(path, names, rows, on_rows)


def as_text(column: Array) -> Array:
    """The values as a text file would hold them; nested ones as JSON, bytes as text or hexadecimal digits."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if pa.types.is_nested(kind):
        return pa.array([_json(value) for value in column.to_pylist()], pa.string())
    if pa.types.is_timestamp(kind):
        return pc.replace_substring_regex(pc.cast(column, pa.string()), r"\.0+(Z?)$", r"\1")
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return pa.array([_decoded(value) for value in column.to_pylist()], pa.string())
    if pa.types.is_null(kind):
        return pa.nulls(len(column), pa.string())
    try:
        return pc.cast(column, pa.string())
    except pa.ArrowException:  # intervals and what later formats add
        return pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())


def _json(value: object) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _decoded(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex()


def _corrupt() -> TableError:
    return TableError(
        ErrorCode.FILE_CORRUPT,
        "The Parquet file is damaged or was cut off while copying; upload it again.",
        metadata={"detected": "parquet"},
    )
