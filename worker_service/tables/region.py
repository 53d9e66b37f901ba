"""Where the table is inside a grid: what is preamble, which rows are the header, where the body starts."""

import re
from dataclasses import dataclass, replace
from itertools import pairwise

from .grid import Grid, Merge
from .nulls import ALWAYS, ERROR_CODES, IN_TYPED_COLUMNS

_LOOK_ROWS = 60
_MAX_HEADER_ROWS = 4
_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d+)?\s*[%％]?$")
_DATE = re.compile(r"\d{1,4}[-/.年]\d{1,2}[-/.月]\d{1,4}日?(?:[T ].*)?$")
_NULLS = frozenset((*ALWAYS, *IN_TYPED_COLUMNS, *ERROR_CODES))


@dataclass(frozen=True)
class Region:
    """The table's place in a grid.

    ``preamble`` and ``header`` are indices into ``grid.head``; ``first_row`` is the 1-based source row of the
    first body row; ``names`` are the raw header texts, one a column, empty where the header is.
    """

    preamble: tuple[int, ...]
    header: tuple[int, ...]
    first_row: int
    names: tuple[str, ...]


def locate(grid: Grid) -> Region:
    """Find the table in the first rows of ``grid``; without a header every non-preamble row is body."""
    filled = _covered(grid)
    start = _first_wide_row(filled)
    rows = [index for index in range(start, len(grid.head)) if filled[index]]
    preamble = tuple(index for index in range(start) if filled[index])
    if not rows or _header_score(grid.head, rows) <= 0:
        first = grid.head_rows[start] if grid.head_rows else 1
        return Region(preamble, (), first, ("",) * grid.width)
    header = _header_rows(grid, rows)
    after = header[-1] + 1
    first_row = grid.head_rows[after] if after < len(grid.head) else grid.head_rows[-1] + 1
    return Region(preamble, header, first_row, _joined_names(grid, header))


def _covered(grid: Grid) -> list[int]:
    """For each row of the head, how many columns its cells speak for.

    A group name speaks for all columns it is merged across. One that is merged across more than half of the table
    is a title and speaks for none but its own.
    """
    spans: dict[int, dict[int, int]] = {}
    for merge in grid.merges:
        span = merge.last_column - merge.first_column + 1
        if 1 < span <= grid.width / 2:
            spans.setdefault(merge.first_row, {})[merge.first_column] = span
    covered = []
    for row, source_row in zip(grid.head, grid.head_rows, strict=True):
        wide = spans.get(source_row, {})
        covered.append(sum(wide.get(column, 1) for column, cell in enumerate(row) if cell.strip()))
    return covered


def clean_name(text: str) -> str:
    """A header on one line: outer white space gone, inner runs of it one space."""
    return " ".join(text.split())


def _first_wide_row(filled: list[int]) -> int:
    """Index of the first row that is about as wide as the table; narrower ones above it are preamble."""
    widths = sorted(count for count in filled if count)
    if not widths:
        return 0
    typical = widths[(len(widths) * 3) // 4] if len(widths) > 3 else widths[-1]
    needed = 1 if typical == 1 else max(2, (typical + 1) // 2)
    return next(index for index, count in enumerate(filled) if count >= needed)


def _header_score(head: list[list[str]], rows: list[int]) -> float:
    """Above zero if the first of ``rows`` reads like names for the columns below it."""
    top, below = head[rows[0]], [head[index] for index in rows[1 : _LOOK_ROWS + 1]]
    texts = [cell.strip() for cell in top if cell.strip()]
    if not below:
        return 1.0 if all(_kind(text) == "text" for text in texts) else -1.0
    years = _are_years([text for text in texts if _kind(text) != "text"])
    score = 0.0
    for column, cell in enumerate(top):
        if text := cell.strip():
            kind = "text" if years else _kind(text)
            score += _column_vote(kind, text, [row[column].strip() for row in below])
    if score == 0:
        return 1.0 if len(set(texts)) == len(texts) and all(_kind(text) == "text" for text in texts) else -1.0
    return score


def _column_vote(kind: str, text: str, below: list[str]) -> float:
    values = [value for value in below if value and value not in _NULLS]
    if not values:
        return 0.0
    typed = sum(1 for value in values if _kind(value) != "text")
    if typed >= 0.6 * len(values):
        return 1.0 if kind == "text" and text not in _NULLS else -1.0
    if kind != "text" or text in values:
        return -0.5
    return 0.0


def _kind(text: str) -> str:
    if _NUMBER.match(text) and any(char.isdigit() for char in text):
        return "number"
    return "date" if _DATE.match(text) else "text"


def _are_years(texts: list[str]) -> bool:
    """Consecutive years are column names more often than values."""
    if len(texts) < 2 or not all(re.fullmatch(r"(?:19|20)\d\d", text) for text in texts):
        return False
    years = [int(text) for text in texts]
    return all(later == year + 1 for year, later in pairwise(years))


def _header_rows(grid: Grid, rows: list[int]) -> tuple[int, ...]:
    """The first of ``rows`` and those below it that merged cells or gaps make part of the header."""
    first = rows[0]
    source_row = grid.head_rows[first]
    starting = [merge for merge in grid.merges if merge.first_row == source_row]
    last_row = max((merge.last_row for merge in starting), default=source_row)
    header = [index for index in rows[:_MAX_HEADER_ROWS] if grid.head_rows[index] <= last_row]
    following = next((index for index in rows if index > header[-1]), None)
    if len(header) == 1 and following is not None and _is_second_row(grid, rows, starting):
        header.append(following)
    return tuple(header)


def _is_second_row(grid: Grid, rows: list[int], starting: list[Merge]) -> bool:
    """Whether the row below a gappy header names the columns that the first row groups."""
    top, second = grid.head[rows[0]], grid.head[rows[1]]
    across = any(merge.last_column > merge.first_column for merge in starting)
    last_named = max(column for column, cell in enumerate(top) if cell.strip())
    gaps = [column for column, cell in enumerate(top) if not cell.strip() and second[column].strip()]
    if not gaps or not (across or any(column < last_named or top[column - 1].strip() for column in gaps)):
        return False
    texts = [cell.strip() for cell in second if cell.strip()]
    if any(_kind(text) != "text" or text in _NULLS for text in texts):
        return False
    return across or _header_score(grid.head, rows[1:]) >= 1


def _joined_names(grid: Grid, header: tuple[int, ...]) -> tuple[str, ...]:
    """One name a column; group names reach over the columns they are merged across."""
    layers = [list(grid.head[index]) for index in header]
    for depth, index in enumerate(header):
        for merge in grid.merges:
            if merge.first_row == grid.head_rows[index]:
                value = layers[depth][merge.first_column]
                stop = min(merge.last_column + 1, grid.width)
                layers[depth][merge.first_column : stop] = [value] * (stop - merge.first_column)
    if len(header) > 1 and not grid.merges:
        layers[0] = _reach_right(layers[0], layers[1])
    names = []
    for parts in zip(*layers, strict=True):
        kept = dict.fromkeys(part.strip() for part in parts if part.strip())
        names.append("_".join(kept))
    return tuple(names)


def _reach_right(top: list[str], second: list[str]) -> list[str]:
    reached, group = [], ""
    for upper, lower in zip(top, second, strict=True):
        group = upper if upper.strip() else group
        reached.append(upper if upper.strip() or not lower.strip() else group)
    return reached


@dataclass(frozen=True)
class ColumnName:
    """A column's unique clean ``name`` and its ``source`` header, empty if it had none."""

    name: str
    source: str


def unique_names(sources: list[str]) -> list[ColumnName]:
    """Name columns: blanks become ``列N`` or ``column_N`` (N counts from 1), repeats get ``__2``, ``__3``..."""
    cleaned = [ColumnName(clean_name(source), source) for source in sources]
    chinese = sum(1 for column in cleaned if re.search(r"[\u4e00-\u9fff]", column.name))
    named = sum(1 for column in cleaned if column.name)
    blank = "列{}" if chinese * 2 > named else "column_{}"
    wanted = [column.name or blank.format(number) for number, column in enumerate(cleaned, start=1)]
    taken: set[str] = set()
    result = []
    for column, name in zip(cleaned, wanted, strict=True):
        unique, repeat = name, 2
        while unique in taken or (unique != name and unique in wanted):
            unique, repeat = f"{name}__{repeat}", repeat + 1
        taken.add(unique)
        result.append(replace(column, name=unique))
    return result
