"""The columns of the clean table: which of the grid's stay, what they are called and what type they have."""

from dataclasses import dataclass

from . import dates
from .clean import Account
from .decide import decide
from .decision import Decision
from .errors import ErrorCode, TableError
from .intake import Intake
from .model import ReadOptions, TableWarning
from .number_style import Context, decimal_mark
from .region import ColumnName, Region, unique_names
from .source import Source

_ORDERS: dict[str, dates.Order] = {"": "", "day_first": "day_month_year", "month_first": "month_day_year"}


@dataclass
class Columns:
    """The columns that stay: their grid positions, names, units, decisions and accounts, all of one length."""

    positions: list[int]
    names: list[ColumnName]
    units: list[str]
    decisions: list[Decision]
    accounts: list[Account]


def decide_columns(
    source: Source, region: Region, intake: Intake, options: ReadOptions
) -> tuple[Columns, list[TableWarning]]:
    """Drop columns without name and values, name the rest and decide their types. Raises EMPTY_FILE if none is left."""
    positions = [index for index, name in enumerate(region.names) if name.strip() or intake.source_nonempty[index]]
    if not positions:
        raise TableError(ErrorCode.EMPTY_FILE, "The table has no cells; upload a file with data.")
    names = unique_names([region.names[index] for index in positions])
    mark = decimal_mark(intake.evidence[index] for index in positions)
    context = Context(source.delimiter, source.date1904, mark, _ORDERS[options.date_order])
    decisions, told = [], []
    for index, name in zip(positions, names, strict=True):
        decision, warnings = decide(name.name, intake.evidence[index], context)
        decisions.append(decision)
        told += warnings
    accounts = [
        Account(source_nonempty=intake.source_nonempty[index], rejected=intake.too_long[index]) for index in positions
    ]
    for row, column in source.long_numbers:
        if column in positions and row >= region.first_row:
            accounts[positions.index(column)].long_rows.append(row)
    units = [decision.unit or region.units[p] for p, decision in zip(positions, decisions, strict=True)]
    return Columns(positions, names, units, decisions, accounts), told
