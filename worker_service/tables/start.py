"""Where a table starts: below titles, notes, small blocks and rows of keys and values."""

from .grid import Head
from .header import kind, score

_MAX_BLOCK_ROWS = 6


def table_start(grid: Head, filled: list[int]) -> int:
    """Index of the table's first row: below narrow rows, small blocks apart, and rows of ``key: value`` pairs."""
    start = _first_wide_row(filled)
    while (below := _below_small_block(grid, filled, start)) is not None:
        start = below
    if grid.head_rows and not any(merge.first_row == grid.head_rows[start] for merge in grid.merges):
        start = _below_pairs(grid, filled, start)
    return start - 1 if _are_groups(grid, start - 1) else start


def _are_groups(grid: Head, index: int) -> bool:
    """Whether a narrow row right above the table names groups of columns: two or more texts with room to reach."""
    if index < 0 or grid.head_rows[index + 1] != grid.head_rows[index] + 1:
        return False
    row, below = grid.head[index], grid.head[index + 1]
    places = [column for column, cell in enumerate(row) if cell.strip()]
    if len(places) < 2 or any(kind(row[p].strip()) != "text" or row[p].strip().endswith((":", "：")) for p in places):
        return False
    reach = [later - column for column, later in zip(places, [*places[1:], grid.width], strict=True)]
    return all(span > 1 for span in reach) and all(cell.strip() for cell in below[places[0] :])


def _below_small_block(grid: Head, filled: list[int], start: int) -> int | None:
    """The row after a gap that ends a few rows above a larger table with a header of its own, if there is one."""
    rows = range(start, min(start + _MAX_BLOCK_ROWS, len(filled)))
    gap = next((i for i in rows if _is_gap(grid, filled, i)), None)
    if gap is None:
        return None
    below = next((index for index in range(gap, len(filled)) if filled[index]), None)
    if below is None:
        return None
    rest = [index for index in range(below, len(filled)) if filled[index]]
    end = next((place for place, index in enumerate(rest) if place and _is_gap(grid, filled, index)), len(rest))
    block, table = [filled[i] for i in range(start, gap) if filled[i]], rest[:end]
    if not block or len(table) < 2 * len(block) or max(filled[index] for index in table) < max(block):
        return None
    return below if score([grid.head[index] for index in table]) > 0 else None


def _is_gap(grid: Head, filled: list[int], index: int) -> bool:
    """Whether a blank row stands at ``index`` or, where readers leave blank rows out, just above it."""
    return not filled[index] or (index > 0 and grid.head_rows[index] - grid.head_rows[index - 1] > 1)


def _below_pairs(grid: Head, filled: list[int], start: int) -> int:
    """Skip rows of keys and values such as ``科室：``, ``心内科`` right above a wider row of names."""
    for index in range(start, min(start + _MAX_BLOCK_ROWS, len(filled) - 1)):
        cells = [cell.strip() for cell in grid.head[index] if cell.strip()]
        if not cells:
            continue
        keys = sum(1 for cell in cells if cell.endswith((":", "：")) or "：" in cell or ": " in cell)
        if not keys or keys * 3 < len(cells):
            return index if index == start or _reads_like_header(grid, filled, index) else start
    return start


def _reads_like_header(grid: Head, filled: list[int], index: int) -> bool:
    return score([grid.head[row] for row in range(index, len(filled)) if filled[row]]) > 0


def covered(grid: Head) -> list[int]:
    """For each row of the head, how many columns its cells speak for.

    A group name speaks for all columns it is merged across. One that is merged across more than half of the table
    is a title and speaks for none but its own.
    """
    spans: dict[int, dict[int, int]] = {}
    for merge in grid.merges:
        span = merge.last_column - merge.first_column + 1
        if 1 < span <= grid.width / 2:
            spans.setdefault(merge.first_row, {})[merge.first_column] = span
    spoken_for = []
    for row, source_row in zip(grid.head, grid.head_rows, strict=True):
        wide = spans.get(source_row, {})
        spoken_for.append(sum(wide.get(column, 1) for column, cell in enumerate(row) if cell.strip()))
    return spoken_for


def _first_wide_row(filled: list[int]) -> int:
    """Index of the first row that is about as wide as the table; narrower ones above it are preamble."""
    widths = sorted(count for count in filled if count)
    if not widths:
        return 0
    typical = widths[(len(widths) * 3) // 4] if len(widths) > 3 else widths[-1]
    needed = 1 if typical == 1 else max(2, (typical + 1) // 2)
    return next(index for index, count in enumerate(filled) if count >= needed)
