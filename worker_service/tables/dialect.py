"""How a text file separates and quotes its cells, and how one record is split by that."""

import re
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Dialect:
    """``delimiter`` has one or more characters; ``width`` is the usual number of cells a row.

    ``quote`` is empty where quotes are ordinary characters; ``escape`` is empty where a quote inside a quoted cell is
    doubled. ``skip_space``: spaces before an opening quote do not count. ``first_line`` is the 1-based line that the
    content begins with, after a ``sep=`` line, and ``declared`` whether there is one.
    """

    delimiter: str
    width: int
    quote: str = '"'
    escape: str = ""
    skip_space: bool = False
    confidence: float = 1.0
    first_line: int = 1
    declared: bool = False

    @cached_property
    def well_formed(self) -> re.Pattern[str]:
        """Matches a record whose quotes are all at the edges of cells, doubled, or escaped."""
        quote, delimiter, escape = re.escape(self.quote), re.escape(self.delimiter), re.escape(self.escape)
        inner = rf"(?:[^{quote}{escape}]|{quote}{quote}|{escape}.)*" if escape else f"(?:[^{quote}]|{quote}{quote})*"
        plain = f"[^{quote}{delimiter}]*" if len(self.delimiter) == 1 else f"(?:(?!{delimiter})[^{quote}])*"
        opening = f" *{quote}" if self.skip_space else quote
        cell = f"(?:{opening}{inner}{quote}|{plain})"
        return re.compile(f"{cell}(?:{delimiter}{cell})*", re.DOTALL)

    def is_plain(self, text: str) -> bool:
        """Whether nothing in ``text`` is quoted or escaped."""
        return not (self.quote and self.quote in text) and not (self.escape and self.escape in text)


def split_record(text: str, dialect: Dialect) -> tuple[list[str], bool]:
    """Cells of one record, and whether its quoting is well formed and closed.

    A quote opens a cell only at its start and closes it only before a delimiter or the end; every other quote
    is an ordinary character. From an unclosed quote on, cells are split as if nothing were quoted, and False.
    """
    delimiter = dialect.delimiter
    if dialect.is_plain(text):
        return text.split(delimiter), True
    cells: list[str] = []
    position, end = 0, len(text)
    while position <= end:
        opening = _opening_quote(text, position, dialect)
        if opening >= 0:
            close = _closing_quote(text, opening + 1, dialect)
            if close < 0:
                return cells + text[position:].split(delimiter), False
            cells.append(unquoted(text[opening + 1 : close], dialect))
            position = close + 1 + len(delimiter)
        else:
            stop = _next_delimiter(text, position, dialect)
            cells.append(_unescaped(text[position:stop], dialect))
            position = stop + len(delimiter)
    return cells, True


def unquoted(inner: str, dialect: Dialect) -> str:
    """The text between two quotes, with what is doubled or escaped in it restored."""
    quote = dialect.quote
    if not dialect.escape:
        return inner.replace(quote + quote, quote)
    return _unescaped(inner, dialect)


def _unescaped(text: str, dialect: Dialect) -> str:
    if not dialect.escape or dialect.escape not in text:
        return text
    meant = re.escape(dialect.quote + dialect.delimiter + dialect.escape)
    return re.sub(re.escape(dialect.escape) + f"([{meant}\n])", r"\1", text)


def _next_delimiter(text: str, position: int, dialect: Dialect) -> int:
    while (stop := text.find(dialect.delimiter, position)) >= 0:
        if not _is_escaped(text, stop, dialect.escape):
            return stop
        position = stop + 1
    return len(text)


def _opening_quote(text: str, position: int, dialect: Dialect) -> int:
    """Index of the quote that opens the cell at ``position``, or -1 if it is not quoted."""
    if not dialect.quote:
        return -1
    while dialect.skip_space and text.startswith(" ", position):
        position += 1
    return position if text.startswith(dialect.quote, position) else -1


def _closing_quote(text: str, start: int, dialect: Dialect) -> int:
    """Index of the quote that closes a cell opened before ``start``, or -1."""
    quote, position = dialect.quote, start
    while (position := text.find(quote, position)) >= 0:
        after = position + 1
        if _is_escaped(text, position, dialect.escape, start):
            position = after
        elif text.startswith(quote, after):
            position += 2
        elif after == len(text) or text.startswith(dialect.delimiter, after):
            return position
        else:
            position = after
    return -1


def _is_escaped(text: str, position: int, escape: str, start: int = 0) -> bool:
    """Whether an odd number of escapes stands right before ``position``."""
    if not escape:
        return False
    first = position
    while first > start and text[first - 1] == escape:
        first -= 1
    return (position - first) % 2 == 1
