"""Merged body cells: a value merged over several rows is the value of each of them."""

import pyarrow as pa

from .arrow import Array, pc
from .clean import Account
from .grid import Merge
from .model import MAX_WARNING_ROWS


class Fills:
    """Fills vertically merged ranges down, batch after batch; a range may reach over batches."""

    def __init__(self, merges: list[Merge], positions: list[int]) -> None:
        self._by_column: dict[int, list[Merge]] = {}
        for merge in sorted(merges, key=lambda merge: merge.first_row):
            if merge.last_row > merge.first_row and merge.first_column in positions:
                self._by_column.setdefault(positions.index(merge.first_column), []).append(merge)
        self._carried: dict[int, tuple[Merge, Array]] = {}

    def apply(self, columns: list[Array], rows: Array, accounts: list[Account]) -> list[Array]:
        """The columns with their merged ranges filled; ``rows`` are the source rows. Counts what was filled."""
        if not self._by_column or not len(rows):
            return columns
        result = list(columns)
        place = {row: index for index, row in enumerate(rows.to_pylist())}
        for column, merges in self._by_column.items():
            result[column] = self._filled(column, columns[column], merges, place, accounts[column])
        return result

    def _filled(
        self, column: int, values: Array, merges: list[Merge], place: dict[int, int], account: Account
    ) -> Array:
        carried = self._carried.pop(column, None)
        pool = values if carried is None else pa.concat_arrays([values, pa.array([carried[1].as_py()], values.type)])
        source = list(range(len(values)))
        last_row = max(place)
        for merge in merges:
            anchor = place.get(merge.first_row)
            if anchor is None and carried is not None and carried[0] == merge:
                anchor = len(values)
            if anchor is None:
                continue
            for row in range(merge.first_row + 1, merge.last_row + 1):
                index = place.get(row)
                if index is not None and not values[index].is_valid and pool[anchor].is_valid:
                    source[index] = anchor
                    account.filled_down += 1
                    if len(account.filled_rows) < MAX_WARNING_ROWS:
                        account.filled_rows.append(row)
            if merge.last_row > last_row:
                self._carried[column] = (merge, pool[anchor])
        return pc.take(pool, pa.array(source, pa.int64()))
