"""Steps that first look at a whole column, then at one row at a time."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shared.actions.binning import binned
from shared.actions.plan import Assign, Bin, FillStatistic, Lookup
from shared.expressions import arrow_type
from shared.expressions.types import literal
from worker_service.actions.engine import Engine
from worker_service.tables.arrow import Array, pc


def settled(step: FillStatistic | Bin, path: Path, engine: Engine) -> Assign | Lookup:
    """Return the step with what it depends on looked up in the file."""
    if isinstance(step, Bin):
        edges = _edges(_numbers(path, step.column), step)
        nothing = Assign(step.name, literal(None, "string"), "string")
        return binned(step.column, step.name, edges, step.labels) if edges else nothing
    value = _statistic(step, path, engine)
    column = pc.field(step.column).cast(arrow_type(step.dtype), safe=False)
    filled = column if value is None else pc.coalesce(column, literal(value, step.dtype))
    return Assign(step.column, filled, step.dtype)


def _statistic(step: FillStatistic, path: Path, engine: Engine) -> Any:
    if step.statistic == "most_frequent":
        return engine.most_frequent(path, step.column)
    numbers = _numbers(path, step.column)
    if step.statistic == "mean":
        return pc.mean(numbers).as_py()
    return pc.quantile(numbers, [0.5])[0].as_py() if len(numbers) else None


def _numbers(path: Path, column: str) -> Array:
    """Return the finite numbers of a column: 8 bytes a row."""
    values: Array = pq.read_table(path, columns=[column]).column(0)
    numbers = pc.cast(values, pa.float64(), safe=False)
    return numbers.filter(pc.is_finite(numbers))


def _edges(numbers: Array, step: Bin) -> list[float]:
    if not len(numbers):
        return []
    if step.bounds == "quantiles":
        edges: list[float] = pc.quantile(numbers, [place / step.bins for place in range(step.bins + 1)]).to_pylist()
        return edges
    low, high = pc.min_max(numbers).as_py().values()
    width = high / step.bins - low / step.bins
    return [*(low + width * place for place in range(step.bins)), high]
