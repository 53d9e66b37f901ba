"""What the commas, points and spaces of a column's numbers mean: the column settles it, else the file."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from . import dates
from .kinds import Evidence, Kind
from .numbers import Shape

Mark = Literal["", "comma", "point"]


@dataclass(frozen=True)
class Context:
    """What the file as a whole and the caller say.

    ``delimiter`` is empty for workbooks; ``decimal_mark`` is what the other columns use if they agree;
    ``date_order`` is the caller's.
    """

    delimiter: str = ""
    date1904: bool = False
    decimal_mark: Mark = ""
    date_order: dates.Order = ""


def decimal_mark(columns: Iterable[Evidence]) -> Mark:
    """The decimal mark of a file, from the numbers that allow but one reading."""
    comma = point = False
    for seen in columns:
        comma |= bool(
            seen.shapes[Shape.COMMA_SURE] or seen.shapes[Shape.POINT_GROUPS] or seen.shapes[Shape.SPACES_COMMA]
        )
        point |= bool(seen.has_point or seen.shapes[Shape.GROUPS] or seen.shapes[Shape.FOURS])
    return "" if comma == point else "comma" if comma else "point"


def separators_style(seen: Evidence, context: Context) -> str:
    """How the numbers of a column are written, if there is one way to read them all."""
    found = {shape for shape, count in seen.shapes.items() if count}
    if Shape.FOURS in found:
        return "groups_of_four" if found == {Shape.FOURS} or _only_fours(found, seen) else ""
    if found == {Shape.APOSTROPHES}:
        return "thousands_apostrophe"
    if found == {Shape.SPACES}:
        return "thousands_space"
    if found <= {Shape.GROUP_OR_COMMA, Shape.GROUPS}:
        return _of_commas(seen, context)
    commas = {Shape.COMMA, Shape.COMMA_SURE, Shape.POINT_GROUPS, Shape.SPACES, Shape.SPACES_COMMA, Shape.GROUP_OR_COMMA}
    if not found <= commas or seen.has_point:
        return ""
    # 1,5 in a cell may be two answers of a questionnaire: only a comma that must be decimal, or a file of
    # semicolons, makes numbers of them.
    sure = found & {Shape.COMMA_SURE, Shape.SPACES_COMMA} or found == {Shape.POINT_GROUPS}
    return "decimal_comma" if sure or context.delimiter == ";" or context.decimal_mark == "comma" else ""


def _only_fours(found: set[Shape], seen: Evidence) -> bool:
    return found == {Shape.FOURS, Shape.COMMA} and seen.may_be_fours


def _of_commas(seen: Evidence, context: Context) -> str:
    """``1,234`` is a thousand or a decimal: the column settles it, else the file."""
    if seen.shapes[Shape.GROUPS] or seen.has_point:
        return "thousands"
    if seen.counts[Kind.FLOAT]:
        return ""  # 1,234 beside 1.234
    if context.decimal_mark == "comma":
        return "decimal_comma"
    return "thousands" if context.decimal_mark == "point" or context.delimiter != ";" else ""
