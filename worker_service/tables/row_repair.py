"""Reads a row whose quoting is broken: among all ways to cut it into the table's width, the one that bends least.

A stray quote makes a strict parser pair the wrong quotes. Here a row is cut at every delimiter first, and pieces are
joined again only where that makes a quoted cell; each oddity that remains in a cell has a cost.
"""

import re
from dataclasses import replace

from .dialect import Dialect, split_record, unquoted

_MAX_PIECES = 400
_MAX_JOINED = 40  # delimiters inside one quoted cell
_MAX_CHARS = 20_000
_IMPOSSIBLE = 1e9
_QUOTED = re.compile(r'"[^"]*"')
_OTHER_DELIMITERS = (";", "\t", "|", ",", " ")


def repaired(text: str, dialect: Dialect) -> list[str] | None:
    """The cells of ``text`` at the table's width, or None if no reading of its quotes gives that many."""
    if not dialect.quote or len(text) > _MAX_CHARS:
        return None
    pieces = text.split(dialect.delimiter)
    if not dialect.width <= len(pieces) <= _MAX_PIECES:
        return None
    ends = _cheapest_ends(pieces, dialect)
    if not ends:
        return None
    starts = [0, *ends[:-1]]
    return [_cell(dialect.delimiter.join(pieces[a:b]), dialect) for a, b in zip(starts, ends, strict=True)]


def _cheapest_ends(pieces: list[str], dialect: Dialect) -> list[int]:
    """Where each cell ends in the cheapest way to join ``pieces`` into a row; empty if there is none."""
    count, width = len(pieces), dialect.width
    options = _options(pieces, dialect)
    # best[start] = (cost, where the first cell ends) of cutting the pieces from start on into so many cells.
    best = [(_IMPOSSIBLE, count)] * count + [(0.0, count)]
    steps = []
    for _ in range(width):
        ahead = best
        best = [min((cost + ahead[end][0], end) for end, cost in choices) for choices in options]
        best.append((_IMPOSSIBLE, count))
        steps.append(best)
    if best[0][0] >= _IMPOSSIBLE:
        return []
    ends = [0]
    for step in reversed(steps):
        ends.append(step[ends[-1]][1])
    return ends[1:]


def _options(pieces: list[str], dialect: Dialect) -> list[list[tuple[int, float]]]:
    """For each piece as the start of a cell: where the cell may end, and what that costs."""
    closing = [index for index, piece in enumerate(pieces, 1) if piece.rstrip().endswith(dialect.quote)]
    options = []
    for start, piece in enumerate(pieces):
        ends = [start + 1]
        if piece.lstrip().startswith(dialect.quote):
            ends += [end for end in closing if start + 1 < end <= start + _MAX_JOINED]
        texts = ((end, dialect.delimiter.join(pieces[start:end])) for end in ends)
        options.append([(end, _cost(text, dialect, end - start)) for end, text in texts])
    return options


def with_other_delimiter(text: str, dialect: Dialect) -> list[str] | None:
    """The cells of a row that uses another common delimiter than the table does, if that gives the table's width."""
    if dialect.width < 3:
        return None
    for delimiter in _OTHER_DELIMITERS:
        if delimiter == dialect.delimiter or text.count(delimiter) < dialect.width - 1:
            continue
        if delimiter == " " and (dialect.is_plain(text) or dialect.delimiter in _QUOTED.sub("", text)):
            continue  # the words of a sentence, or a row that is only ragged
        cells, closed = split_record(text, replace(dialect, delimiter=delimiter))
        if closed and len(cells) == dialect.width:
            return cells
    return None


def _cost(text: str, dialect: Dialect, pieces: int) -> float:
    quote = dialect.quote
    bare = text.strip()
    if quote not in bare:
        return 0.0 if pieces == 1 else _IMPOSSIBLE
    if len(bare) > 1 and bare.startswith(quote) and bare.endswith(quote):
        inner = bare[1:-1]
        odd = inner.replace(quote + quote, "").replace(dialect.escape + quote, "") if dialect.escape else inner
        stray = odd.replace(quote + quote, "").count(quote)
        touching = bool(stray) and (odd.startswith(quote) or odd.endswith(quote))
        # Inner quotes beside a delimiter look like edges of cells that were joined by mistake.
        edges = inner.count(quote + dialect.delimiter) + inner.count(dialect.delimiter + quote) if pieces > 1 else 0
        return 0.1 * (bare != text) + 0.5 * stray - 0.1 * touching + 2.0 * edges
    if pieces > 1:
        return _IMPOSSIBLE
    return 2.0 if bare.startswith(quote) or bare.endswith(quote) else 0.3


def _cell(text: str, dialect: Dialect) -> str:
    quote, bare = dialect.quote, text.strip()
    if len(bare) < 2 or not (bare.startswith(quote) and bare.endswith(quote)):
        return text
    return unquoted(bare[1:-1], dialect)
