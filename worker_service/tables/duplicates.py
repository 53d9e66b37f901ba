"""Rows that say the same as an earlier one in every column."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .arrow import Array, pc
from .intake import KEPT_ROWS, Intake
from .messages import WarningCode
from .model import MAX_WARNING_ROWS, ColumnProfile, TableWarning, warning

_TELLING_COLUMNS = 4


def duplicate_rows(path: Path, intake: Intake, profiles: list[ColumnProfile]) -> list[TableWarning]:
    """The warning about repeated rows of the clean file at ``path``; looked for up to a million rows."""
    if not 1 < intake.row_count <= KEPT_ROWS:
        return []
    by_distinct = sorted(range(len(profiles)), key=lambda index: -profiles[index].distinct_count)
    telling = sorted(by_distinct[:_TELLING_COLUMNS])
    file = pq.ParquetFile(path)
    names = file.schema_arrow.names
    if len(telling) < len(names):  # mostly a few columns already tell every row from every other
        few = file.read(columns=[names[index] for index in telling]).rename_columns([str(index) for index in telling])
        if few.group_by(few.column_names, use_threads=False).aggregate([]).num_rows == intake.row_count:
            return []
    table = file.read().rename_columns([str(index) for index in range(len(names))])
    rows: Array = pa.chunked_array(intake.kept_rows)
    grouped = (
        table.append_column("row", rows).group_by(table.column_names, use_threads=False).aggregate([("row", "min")])
    )
    repeats = table.num_rows - grouped.num_rows
    if not repeats:
        return []
    firsts = grouped.column("row_min").combine_chunks()
    first: list[int] = rows.filter(pc.invert(pc.is_in(rows, firsts))).slice(0, MAX_WARNING_ROWS).to_pylist()
    return [warning(WarningCode.DUPLICATE_ROWS, rows=first, count=repeats)]
