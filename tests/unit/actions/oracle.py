"""What each action does, in plain Python. None is null; NaN equals NaN, and comes after all numbers."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import cmp_to_key
from itertools import pairwise
from statistics import fmean, median
from typing import Any

from shared.expressions import DataType
from tests.unit.expressions.oracle import Row

Rows = list[dict[str, Any]]


def key_of(value: Any) -> Any:
    """Return what equal values have in common: NaN is one value, 0.0 and -0.0 are one."""
    if isinstance(value, float):
        return ("nan",) if math.isnan(value) else value + 0.0
    return value


def compare(one: Any, other: Any) -> int:
    """Return -1, 0 or 1; neither is null."""
    nans = [isinstance(value, float) and math.isnan(value) for value in (one, other)]
    if any(nans):
        return nans[0] - nans[1]
    return int(one > other) - int(one < other)


def sort_rows(rows: Sequence[Row], keys: Sequence[tuple[str, bool, bool]]) -> Rows:
    def order(one: Row, other: Row) -> int:
        for column, descending, nulls_first in keys:
            a, b = one[column], other[column]
            if a is None or b is None:
                side = (b is None) - (a is None)
                found = side if not nulls_first else -side
                found = -found
            else:
                found = compare(a, b) * (-1 if descending else 1)
            if found:
                return found
        return 0

    return [dict(row) for row in sorted(rows, key=cmp_to_key(order))]


def deduplicate(rows: Sequence[Row], columns: Sequence[str], *, keep_last: bool) -> Rows:
    places: dict[Any, int] = {}
    for place, row in enumerate(rows):
        key = tuple(key_of(row[column]) for column in columns)
        if keep_last or key not in places:
            places[key] = place
    return [dict(rows[place]) for place in sorted(places.values())]


def drop_missing(rows: Sequence[Row], columns: Sequence[str], *, only_if_all: bool) -> Rows:
    gone = all if only_if_all else any
    return [dict(row) for row in rows if not gone(row[column] is None for column in columns)]


def text_of(value: Any) -> str:
    """Return canonical text."""
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, date) else str(value)


def recode(value: Any, changes: Mapping[Any, Any], other: Callable[[Any], Any]) -> Any:
    key = key_of(value)
    return changes[key] if key in changes else other(value)


def bin_label(value: float | None, edges: Sequence[float], labels: Sequence[str]) -> str | None:
    if value is None or math.isnan(value) or not edges[0] <= value <= edges[-1]:
        return None
    return labels[sum(value >= edge for edge in edges[1:-1])]


def quantile(values: Sequence[float], probability: float) -> float:
    """Return the value at a probability, linear between neighbours."""
    ordered = sorted(values)
    place = probability * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def numbers(rows: Sequence[Row], column: str) -> list[float]:
    return [float(row[column]) for row in rows if row[column] is not None and math.isfinite(row[column])]


def filler(rows: Sequence[Row], column: str, statistic: str) -> Any:
    if statistic == "most_frequent":
        values = [row[column] for row in rows if row[column] is not None and key_of(row[column]) != ("nan",)]
        counts = Counter(map(key_of, values))
        return min((value for value in values if counts[key_of(value)] == max(counts.values())), default=None)
    found = numbers(rows, column)
    return (fmean(found) if statistic == "mean" else median(found)) if found else None


def fill_forward(values: Sequence[Any]) -> Iterator[Any]:
    last = None
    for value in values:
        last = value if value is not None else last
        yield last


def unpivot(rows: Sequence[Row], columns: Sequence[str], kept: Sequence[str], as_float: bool) -> Rows:
    return [
        {
            **{name: row[name] for name in kept},
            "name": column,
            "value": _float(row[column]) if as_float else row[column],
        }
        for row in rows
        for column in columns
    ]


def _float(value: Any) -> Any:
    return None if value is None else float(value)


def pivot(
    rows: Sequence[Row], kept: Sequence[str], names_from: str, values_from: str, aggregate: str, names: Rows
) -> Rows:
    groups: dict[Any, tuple[Row, dict[Any, list[Any]]]] = {}
    wanted = [key_of(name["value"]) for name in names]
    for row in rows:
        name = key_of(row[names_from])
        if name is None or name not in wanted:
            continue
        _, found = groups.setdefault(tuple(key_of(row[column]) for column in kept), (row, {}))
        if row[values_from] is not None:
            found.setdefault(name, []).append(row[values_from])
    return [
        {**{column: first[column] for column in kept}}
        | {name["name"]: _aggregated(found.get(key_of(name["value"]), []), aggregate) for name in names}
        for first, found in groups.values()
    ]


def _aggregated(values: list[Any], aggregate: str) -> Any:
    if aggregate == "count":
        return len(values)
    if not values:
        return None
    if aggregate in {"sum", "mean"}:
        total = math.fsum(values) if isinstance(values[0], float) else sum(values)
        result = total / len(values) if aggregate == "mean" else total
        return None if isinstance(result, float) and not math.isfinite(result) else result
    ordered = sorted(values, key=cmp_to_key(compare))
    return {"first": values[0], "min": ordered[0], "max": ordered[-1]}[aggregate]


def converted(value: Any, dtype: DataType) -> Any:  # noqa: PLR0911  # one case a type
    """Return the exact counterpart of a value in another type; None when there is none."""
    if value is None:
        return None
    if dtype == "string":
        return text_of(value)
    if isinstance(value, str):
        return _read(value, dtype)
    match dtype:
        case "float64":
            return float(value) if int(value) == float(value) else None
        case "int64":
            return int(value) if not math.isnan(value) and float(value).is_integer() and abs(value) <= 9.2e18 else None
        case "bool":
            return {0: False, 1: True}.get(value)
        case "timestamp":
            return datetime(value.year, value.month, value.day)
        case "date":
            return value.date() if value == datetime(value.year, value.month, value.day) else None
    raise AssertionError(dtype)


def _read(text: str, dtype: DataType) -> Any:
    text = text.strip()
    if not text.isascii() and dtype != "bool":
        return None
    try:
        match dtype:
            case "int64":
                return int(text) if text.lstrip("+-").isdigit() and len(text.lstrip("+-")) <= 18 else None
            case "float64":
                return float(text) if text[-1:].isdigit() or text[-1:] == "." else None
            case "bool":
                return {"true": True, "yes": True, "是": True, "1": True, "false": False, "no": False, "否": False,
                        "0": False}.get(text.lower())  # fmt: skip
            case "date":
                return date.fromisoformat(text) if len(text) == 10 and text[4] == "-" else None
    except ValueError:
        return None
    raise AssertionError(dtype)


def edges_of(values: Sequence[float], bins: int, *, equal_width: bool) -> list[float]:
    if equal_width:
        low, high = min(values), max(values)
        width = high / bins - low / bins
        return [*(low + width * place for place in range(bins)), high]
    return [quantile(values, place / bins) for place in range(bins + 1)]


def written(edges: Sequence[float]) -> list[str]:
    edges = [edge + 0.0 for edge in edges]
    short = [f"{edge:.6g}" for edge in edges]
    texts = short if len(set(short)) == len(set(edges)) else [repr(edge) for edge in edges]
    ends = [")"] * (len(edges) - 2) + ["]"]
    return [f"[{low}, {high}{end}" for (low, high), end in zip(pairwise(texts), ends, strict=True)]
