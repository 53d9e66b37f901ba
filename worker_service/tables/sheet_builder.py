"""Collects a sheet cell by cell into columns of text, within the limits of what is loaded at once."""

import pyarrow as pa

from .arrow import Array
from .errors import limit_exceeded
from .grid import Merge
from .model import Limits
from .sheet_grid import SheetGrid

_BLOCK_ROWS = 8_192


class SheetBuilder:
    """Takes cells row after row, left to right; ``grid()`` is what came together.

    Raises LIMIT_EXCEEDED as soon as the rectangle that holds the cells would be too large.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rows: list[dict[int, str]] = []
        self._blocks: list[list[Array]] = []
        self._width = 0
        self._height = 0
        self.cells = 0
        self.merges: list[Merge] = []

    def put(self, row: int, column: int, text: str) -> None:
        """Set a cell by its 0-based place; rows must not go back."""
        self._check(row + 1, column + 1)
        if not text:
            return
        while self._height <= row:
            self._rows.append({})
            self._height += 1
            if len(self._rows) == _BLOCK_ROWS and self._height <= row:
                self._flush()
        self._rows[-1][column] = text
        self._width = max(self._width, column + 1)
        self.cells += 1

    def merge(self, row: int, column: int, rows: int, columns: int) -> None:
        """Note that the cell at 0-based ``row``, ``column`` reaches over so many rows and columns."""
        if rows > 1 or columns > 1:
            last_row, last_column = min(row + rows, 2**20), min(column + columns, 2**14) - 1
            self.merges.append(Merge(row + 1, last_row, column, last_column))

    def grid(self) -> SheetGrid:
        """Everything as one grid."""
        self._flush()
        columns = []
        for index in range(self._width):
            parts = [
                block[index] if index < len(block) else pa.nulls(len(block[0]), pa.string()) for block in self._blocks
            ]
            columns.append(pa.concat_arrays(parts))
        return SheetGrid(columns, self.merges)

    def _check(self, height: int, width: int) -> None:
        limits = self._limits
        if width > limits.max_columns:
            raise limit_exceeded(
                "max_columns", limits.max_columns, f"{width:,} columns", "look for a stray cell far right."
            )
        if max(self._height, height) * max(self._width, width) > limits.max_eager_cells:
            raise limit_exceeded(
                "max_eager_cells", limits.max_eager_cells, "more cells than that", "save it as .xlsx or CSV."
            )

    def _flush(self) -> None:
        if self._rows:
            width = max(max(row, default=0) + 1 for row in self._rows)
            block = ([row.get(index) for row in self._rows] for index in range(width))
            self._blocks.append([pa.array(column, pa.string()) for column in block])
        self._rows = []
