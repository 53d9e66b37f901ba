"""A filter keeps the same rows wherever it is evaluated: in a scan that leaves out row groups, and in an action."""

import math
import tempfile
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
from hypothesis import given, settings

from shared.expressions import compile_condition
from tests.unit.actions.support import acted
from tests.unit.expressions.oracle import COLUMNS, ROWS, Pair, Row, expressions, same, table_of


def _without_nan(row: Row) -> Row:
    # Clean data has none, and must not: the statistics of a Parquet file leave NaN out, and what Arrow concludes of
    # them would cost rows.
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


@settings(max_examples=30, deadline=None)
@given(rows=ROWS, pair=expressions("bool"))
def test_a_scan_and_an_action_keep_the_same_rows(rows: list[Row], pair: Pair) -> None:
    text, meaning = pair
    rows = [_without_nan(row) for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        pq.write_table(table_of(rows), path, row_group_size=2)
        scanned = ds.dataset(path).to_table(filter=compile_condition(text, COLUMNS).expression).to_pylist()
    _, found, _ = acted(rows, {"filter_rows": {"condition": text}})
    kept = [row for row in rows if meaning(row)]
    for result in (scanned, found):
        assert len(result) == len(kept), text
        assert all(same(one[name], other[name]) for one, other in zip(result, kept, strict=True) for name in COLUMNS)
