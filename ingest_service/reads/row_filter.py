"""A condition on rows: row groups are left out by their statistics, the rest row by row."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pyarrow as pa
import pyarrow.dataset as ds

from ingest_service.reads.clean_file import CleanFile
from shared.errors import InvalidArgument, invalid_field
from shared.expressions import DataType, ExpressionError, compile_condition

# No column of clean data has this name: cleaning replaces NUL.
_POSITION = "\0position"


class RowFilter:
    """A checked condition. `columns` are those it looks at. Raises InvalidArgument with the place of what is wrong."""

    def __init__(self, text: str, columns: Sequence[Mapping[str, Any]]) -> None:
        types = {column["name"]: cast(DataType, column["type"]) for column in columns}
        try:
            compiled = compile_condition(text, types)
        except ExpressionError as error:
            metadata = {"field": "filter", "position": str(error.position)}
            raise InvalidArgument("FIELD_INVALID", f"filter: {error}", metadata) from None
        self._expression = compiled.expression
        self.columns = compiled.columns

    def groups(self, file: CleanFile, groups: Sequence[int]) -> list[int]:
        """Return those of the row groups that may hold rows for which the condition is true."""
        tail: Any = pa.BufferReader(file.tail)
        fragment: Any = ds.ParquetFileFormat().make_fragment(tail)
        fitting = {group.id for group in fragment.subset(filter=self._expression).row_groups}
        return [group for group in groups if group in fitting]

    def apply(self, batch: pa.RecordBatch) -> tuple[pa.Table, list[int]]:
        """Return the rows for which the condition is true, and their positions in `batch`.

        Raises InvalidArgument when an integer of the calculation does not fit 64 bits.
        """
        positions = pa.array(range(batch.num_rows), pa.int32())
        table = pa.Table.from_batches([batch]).append_column(_POSITION, positions)
        try:
            kept = table.filter(self._expression)
        except pa.ArrowInvalid:
            raise invalid_field("filter", "an integer that it calculates does not fit 64 bits") from None
        kept_positions: list[Any] = kept[_POSITION].to_pylist()
        return kept.drop_columns(_POSITION), kept_positions
