"""What interrupts or ends a table on its way down: its header once more, or another table below a gap."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce

import pyarrow as pa

from .arrow import Array, pc
from .grid import Batch, Grid
from .header import kind, score
from .parquet import REJECTS
from .region import Region
from .text_lines import RowTally

_LOOK_ROWS = 20
_MAX_GAPS = 1_000  # looked at; a sheet with more blank rows than that uses them for looks


@dataclass
class Tail:
    """Passes a table's rows on and keeps aside, as rows of the rejects, what is none of it."""

    grid: Grid
    region: Region
    repeated: RowTally = field(default_factory=RowTally)
    second_first_row: int = 0
    second_rows: int = 0
    _aside: list[tuple[int, str, Array, Array]] = field(default_factory=list)
    _gaps: int = 0
    _last_row: int = 0

    def table(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The rows of the table alone."""
        self._last_row = self.region.first_row - 1
        for batch in batches:
            if self.second_first_row:
                self._put_aside(batch, "SECOND_TABLE")
                continue
            batch = self._without_header(batch)  # noqa: PLW2901  # what is passed on
            cut = self._second_table(batch)
            if len(batch):
                self._last_row = batch.rows[len(batch) - 1].as_py()
            if cut is not None:
                self.second_first_row = batch.rows[cut].as_py()
                self._put_aside(_slice(batch, cut, len(batch)), "SECOND_TABLE")
                batch = _slice(batch, 0, cut)  # noqa: PLW2901
            yield batch

    def aside(self, names: dict[int, str]) -> list[pa.RecordBatch]:
        """What was kept aside, as rejects; ``names`` are the clean columns' by number from 1."""
        return [
            pa.record_batch(
                [
                    rows,
                    pa.repeat(pa.scalar(names.get(number), pa.string()), len(rows)),
                    raw,
                    pa.repeat(reason, len(rows)),
                ],
                schema=REJECTS,
            )
            for number, reason, rows, raw in self._aside
        ]

    def restart(self) -> None:
        """Forget everything: the rows will come again from the start."""
        self.repeated, self._aside = RowTally(), []
        self.second_first_row = self.second_rows = self._gaps = 0

    def _without_header(self, batch: Batch) -> Batch:
        """Drop rows that say the same as one of the header's rows."""
        found = [mask for index in self.region.header if (mask := _says(batch, self.grid.head[index])) is not None]
        if not found:
            return batch
        mask = reduce(pc.or_, found)
        repeated = Batch([column.filter(mask) for column in batch.columns], batch.rows.filter(mask))
        for row in repeated.rows.to_pylist():
            self.repeated.add(row)
        self._put_aside(repeated, "REPEATED_HEADER")
        rest = pc.invert(mask)
        return Batch([column.filter(rest) for column in batch.columns], batch.rows.filter(rest))

    def _second_table(self, batch: Batch) -> int | None:
        """Where in the batch another table begins: below a blank row, with names where the first one has values."""
        if not self.region.header or self._gaps > _MAX_GAPS:
            return None
        for place in self._after_gaps(batch):
            self._gaps += 1
            if self._reads_like_another(batch, place):
                return place
        return None

    def _after_gaps(self, batch: Batch) -> list[int]:
        """Places of rows with cells that follow blank or missing rows."""
        if not len(batch):
            return []
        filled = _filled(batch)
        rows = batch.rows
        before = pa.concat_arrays([pa.array([self._last_row], pa.int64()), rows.slice(0, len(rows) - 1)])
        gap = pc.greater(pc.subtract(rows, before), 1)
        if filled is not None:
            blank_above = pa.concat_arrays([pa.array([False]), pc.invert(filled).slice(0, len(rows) - 1)])
            gap = pc.and_(filled, pc.or_(gap, blank_above))
        places: list[int] = pc.indices_nonzero(gap).to_pylist()
        known = self.repeated.rows  # a header that was taken out leaves no gap
        return [place for place in places if rows[place].as_py() - 1 not in known]

    def _reads_like_another(self, batch: Batch, place: int) -> bool:
        block: list[list[str]] = []
        for index in range(place, min(place + _LOOK_ROWS, len(batch))):
            row = _row(batch, index)
            if not any(row):
                break
            block.append(row)
        names = [cell for cell in block[0] if cell] if len(block) > 1 else []
        if len(names) < 2 or any(kind(cell) != "text" for cell in names):
            return False
        first, row = self.region.first_row, batch.rows[place].as_py()
        head = zip(self.grid.head_rows, self.grid.head, strict=True)
        values = [cells for number, cells in head if first <= number < row and any(cells)][:_LOOK_ROWS]
        typed = [c for c, cell in enumerate(block[0]) if cell and values and _mostly_typed([row[c] for row in values])]
        known = {cell.strip() for row in values for cell in row}
        return bool(typed) and not known & set(names) and score(block) >= 1

    def _put_aside(self, batch: Batch, reason: str) -> None:
        if reason == "SECOND_TABLE":
            filled = _filled(batch)
            self.second_rows += len(batch) if filled is None else pc.sum(filled).as_py() or 0
        for number, column in enumerate(batch.columns, start=1):
            kept = pc.fill_null(pc.greater(pc.binary_length(column), 0), False)
            if pc.any(kept, min_count=1).as_py():
                self._aside.append((number, reason, batch.rows.filter(kept), column.filter(kept)))


def _says(batch: Batch, names: list[str]) -> Array | None:
    """A mask of the rows that hold exactly two or more ``names``; None if there is no such row."""
    named = [(column, name) for column, name in zip(batch.columns, names, strict=True) if name.strip()]
    mask = None
    for column, name in named if len(named) > 1 else ():
        same = pc.fill_null(pc.equal(column, name), False)
        mask = same if mask is None else pc.and_(mask, same)
        if not pc.any(mask, min_count=0).as_py():
            return None
    return mask


def _slice(batch: Batch, start: int, stop: int) -> Batch:
    return Batch([column.slice(start, stop - start) for column in batch.columns], batch.rows.slice(start, stop - start))


def _row(batch: Batch, place: int) -> list[str]:
    return [(column[place].as_py() or "").strip() for column in batch.columns]


def _filled(batch: Batch) -> Array:
    """A mask of the rows with cells; None if all have some."""
    found = None
    for column in batch.columns:
        mask = pc.fill_null(pc.greater(pc.binary_length(column), 0), False)
        if pc.all(mask, min_count=0).as_py():
            return None
        found = mask if found is None else pc.or_(found, mask)
    return found


def _mostly_typed(cells: list[str]) -> bool:
    values = [cell.strip() for cell in cells if cell.strip()]
    return len(values) > 1 and sum(1 for value in values if kind(value) != "text") * 5 >= len(values) * 4
