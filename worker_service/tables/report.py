"""Turns what the passes counted into the report's columns and warnings."""

import json
from hashlib import sha256
from itertools import pairwise

from .columns import Columns
from .csv_reader import CsvGrid
from .grid import Grid
from .intake import Intake
from .messages import WarningCode
from .model import ColumnProfile, ColumnReport, Limits, ReadChoice, ReadOptions, TableWarning, warning
from .region import ColumnName, Region, clean_name
from .tail import Tail

_MAX_NAMES = 20


def column_reports(columns: Columns, null_counts: list[int], profiles: list[ColumnProfile]) -> tuple[ColumnReport, ...]:
    """One report a column, in column order; all lists have one entry a column."""
    return tuple(
        ColumnReport(
            name=name.name,
            source_name=name.source,
            dtype=decision.dtype,
            format=decision.format,
            reason=decision.reason,
            unit=unit,
            mixed=decision.mixed,
            null_count=nulls,
            source_nonempty=account.source_nonempty,
            typed=account.typed,
            kept_as_text=account.kept_as_text,
            nulled_by_token=account.null_tokens.total(),
            null_tokens=dict(sorted(account.null_tokens.items())),
            error_cells=account.error_codes.total(),
            error_codes=dict(sorted(account.error_codes.items())),
            rejected=account.rejected,
            filled_down=account.filled_down,
            samples=account.samples,
            profile=profile,
        )
        for name, unit, decision, account, nulls, profile in zip(
            columns.names, columns.units, columns.decisions, columns.accounts, null_counts, profiles, strict=True
        )
    )


def columns_sha256(reports: tuple[ColumnReport, ...]) -> str:
    """Digest of what became of every column's cells; profiles, which are read from the clean data, are left out."""
    facts = [vars(report) | {"profile": None} for report in reports]
    text = json.dumps(facts, default=vars, ensure_ascii=False, sort_keys=True)
    return sha256(text.encode(errors="surrogatepass")).hexdigest()


def header_choice(grid: Grid, region: Region, options: ReadOptions) -> ReadChoice:
    """Which row the names were taken from (the first of several, 0 for none), and how sure that is."""
    value = str(grid.head_rows[region.header[0]]) if region.header else "0"
    if options.header_row is not None:
        return ReadChoice("header_row", value, "given")
    return ReadChoice("header_row", value, "detected", region.confidence)


def table_warnings(grid: Grid, tail: Tail, intake: Intake, columns: Columns) -> list[TableWarning]:
    """What happened to rows, headers and whole columns."""
    told, region = [], tail.region
    names, positions = columns.names, columns.positions
    if region.preamble:
        rows = [grid.head_rows[index] for index in region.preamble]
        told.append(warning(WarningCode.PREAMBLE_SKIPPED, rows=rows))
    told += _header_warnings(grid, region, names)
    dropped = [str(index + 1) for index in range(grid.width) if index not in set(positions)]
    if dropped:
        told.append(warning(WarningCode.BLANK_COLUMNS, count=len(dropped), names=_some(dropped)))
        told += _side_tables(names, positions)
    if region.units_row is not None:
        units = sum(1 for unit in region.units if unit)
        told.append(warning(WarningCode.UNITS_ROW, rows=[grid.head_rows[region.units_row]], count=units))
    if tail.second_first_row:
        first = tail.second_first_row
        told.append(warning(WarningCode.SECOND_TABLE, rows=[first], count=tail.second_rows, first=first))
    for code, tally in (
        (WarningCode.REPEATED_HEADER, tail.repeated),
        (WarningCode.BLANK_ROWS, intake.blank_rows),
        (WarningCode.NOTES_BELOW, intake.notes),
        (WarningCode.TOTALS_ROW, intake.totals),
    ):
        if tally.count:
            told.append(warning(code, rows=tally.rows, count=tally.count))
    across = [m for m in grid.merges if m.first_row >= region.first_row and m.last_column > m.first_column]
    if across:
        told.append(warning(WarningCode.MERGED_ACROSS, rows=[merge.first_row for merge in across]))
    if isinstance(grid, CsvGrid):
        told += _repair_warnings(grid)
    return told


def _side_tables(names: list[ColumnName], positions: list[int]) -> list[TableWarning]:
    """Blank columns with at least two named columns on either side."""
    starts = [place for place in range(1, len(positions)) if positions[place] - positions[place - 1] > 1]
    edges = [0, *starts, len(positions)]
    blocks = [names[start:stop] for start, stop in pairwise(edges)]
    wide = [block for block in blocks if sum(1 for column in block if column.source.strip()) > 1]
    return [
        warning(WarningCode.SIDE_TABLE, column=block[0].name, count=len(block), names=_some([c.name for c in block]))
        for block in wide[1:]
    ]


def _header_warnings(grid: Grid, region: Region, names: list[ColumnName]) -> list[TableWarning]:
    if not region.header:
        return [warning(WarningCode.HEADER_MISSING)]
    told = []
    if len(region.header) > 1:
        told.append(warning(WarningCode.HEADER_JOINED, rows=[grid.head_rows[index] for index in region.header]))
    blank = [name.name for name in names if not name.source.strip()]
    if blank:
        told.append(warning(WarningCode.HEADER_BLANK, count=len(blank), names=_some(blank)))
    repeated = [name.name for name in names if name.source.strip() and clean_name(name.source) != name.name]
    if repeated:
        told.append(warning(WarningCode.HEADER_DUPLICATE, count=len(repeated), names=_some(repeated)))
    return told


def _repair_warnings(grid: CsvGrid) -> list[TableWarning]:
    told = []
    for code, tally, details in (
        (WarningCode.RAGGED_ROWS, grid.repairs.ragged, {"width": grid.width}),
        (WarningCode.UNCLOSED_QUOTE, grid.repairs.unclosed, {}),
        (WarningCode.OTHER_DELIMITER, grid.repairs.other_delimiter, {}),
        (WarningCode.ENCODING_ERRORS, grid.repairs.bad_bytes, {"encoding": grid.file.encoding.name}),
    ):
        if tally.count:
            told.append(warning(code, rows=tally.rows, count=tally.count, **details))
    return told


def column_warnings(columns: Columns, intake: Intake, limits: Limits) -> list[TableWarning]:
    """What happened to single cells, column by column."""
    told = []
    for name, account, position in zip(columns.names, columns.accounts, columns.positions, strict=True):
        column = name.name
        if errors := account.error_codes.total():
            codes = ", ".join(sorted(account.error_codes))
            told.append(
                warning(WarningCode.ERROR_CELLS, column=column, rows=account.error_rows, count=errors, codes=codes)
            )
        if account.filled_down:
            told.append(
                warning(WarningCode.MERGED_FILLED, column=column, rows=account.filled_rows, count=account.filled_down)
            )
        if account.serials:
            told.append(
                warning(WarningCode.DATE_SERIALS, column=column, rows=account.serial_rows, count=account.serials)
            )
        if account.long_rows:
            told.append(warning(WarningCode.LONG_NUMBERS, column=column, rows=account.long_rows))
        if account.rejected:
            rows = [item.row for item in intake.loose if item.reason == "CELL_TOO_LONG" and item.column == position + 1]
            limit = limits.max_cell_chars
            told.append(warning(WarningCode.CELL_TOO_LONG, column=column, rows=rows, limit=limit))
    return told


def _some(names: list[str]) -> str:
    return ", ".join(names[:_MAX_NAMES]) + (", …" if len(names) > _MAX_NAMES else "")
