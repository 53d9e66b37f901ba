"""Makes the sample files: a messy clinical workbook, and a messy CSV file of any size.

    python -m examples.sample sample.xlsx                     3,339 rows x 151 columns
    python -m examples.sample big.csv --csv-bytes 1073741824  1 GiB of CSV

The same arguments always give the same file.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from random import Random

from examples.sample_columns import SampleColumn, Visit, columns_of_sample, make_visit
from examples.sample_csv import CsvFacts, write_sample_csv
from examples.sample_xlsx import Cell, ErrorCell, column_letters, write_workbook

__all__ = ["CsvFacts", "SampleFacts", "write_sample", "write_sample_csv"]

SHEET = "住院病例"
TITLE = "示范市中心医院心血管内科住院患者资料汇总（2021-2024）"
TITLE_ROWS = 1
HEADER_ROWS = 2
FIRST_DATA_ROW = TITLE_ROWS + HEADER_ROWS + 1
DEFAULT_ROWS = 3339
DEFAULT_COLUMNS = 151
DEFAULT_SEED = 20240305


@dataclass(frozen=True, slots=True)
class SampleFacts:
    """What is in a sample workbook. Row numbers are those that a spreadsheet shows, from 1.

    Attributes:
        rows: Rows below the header, counted with the totals row: what clean data of it must hold, since no row
            is ever removed silently. `rows - 1` of them are visits of patients.
        columns: Columns, counted with the empty one and the constant one.
        patients: Patients; each has one to four rows, over which the first three columns are merged.
        totals_row: Where the row of totals (合计) stands: the last one.
        error_cells: Cells that hold a spreadsheet error such as #N/A.
    """

    path: Path
    sheet: str
    rows: int
    columns: int
    patients: int
    first_data_row: int
    totals_row: int
    error_cells: int
    size_bytes: int


def write_sample(
    path: Path, rows: int = DEFAULT_ROWS, columns: int = DEFAULT_COLUMNS, seed: int = DEFAULT_SEED
) -> SampleFacts:
    """Write the sample workbook and tell what is in it; needs at least 2 rows and 1 column."""
    if rows < 2 or columns < 1:
        raise ValueError("a sample needs at least 2 rows (one visit and the totals) and 1 column")
    random = Random(seed)
    specs = columns_of_sample(columns)
    visits = _make_visits(random, rows - 1)
    body = [[_cell(spec, random, visit) for spec in specs] for visit in visits]
    merges = [*_header_merges(specs), *_body_merges(specs, visits)]
    write_workbook(path, SHEET, [*_header_rows(specs), *body, _totals(specs, body)], merges)
    return SampleFacts(
        path=path,
        sheet=SHEET,
        rows=rows,
        columns=columns,
        patients=visits[-1].patient,
        first_data_row=FIRST_DATA_ROW,
        totals_row=FIRST_DATA_ROW + rows - 1,
        error_cells=sum(isinstance(cell, ErrorCell) for row in body for cell in row),
        size_bytes=path.stat().st_size,
    )


def _make_visits(random: Random, count: int) -> list[Visit]:
    visits: list[Visit] = []
    patient = 0
    while len(visits) < count:
        patient += 1
        previous: Visit | None = None
        for number in range(1, random.choice((1, 1, 1, 2, 2, 3, 4)) + 1):
            if len(visits) < count:
                previous = make_visit(random, patient, number, previous, FIRST_DATA_ROW + len(visits))
                visits.append(previous)
    return visits


def _cell(spec: SampleColumn, random: Random, visit: Visit) -> Cell:
    if spec.per_patient and visit.number > 1:
        return None  # inside a merged range only the first cell holds the value
    return spec.make(random, visit)


def _header_rows(specs: Sequence[SampleColumn]) -> list[list[Cell]]:
    title: list[Cell] = [TITLE]
    upper: list[Cell] = []
    for index, spec in enumerate(specs):
        starts = index == 0 or specs[index - 1].group != spec.group
        upper.append(spec.name if not spec.group else spec.group if starts else None)
    lower: list[Cell] = [spec.name if spec.group else None for spec in specs]
    return [title, upper, lower]


def _header_merges(specs: Sequence[SampleColumn]) -> list[str]:
    upper, lower = TITLE_ROWS + 1, TITLE_ROWS + HEADER_ROWS
    merges = [f"A1:{column_letters(len(specs) - 1)}1"] if len(specs) > 1 else []
    for group, members in groupby(range(len(specs)), key=lambda index: specs[index].group):
        indexes = list(members)
        if not group:
            merges += [f"{column_letters(i)}{upper}:{column_letters(i)}{lower}" for i in indexes]
        elif len(indexes) > 1:
            merges.append(f"{column_letters(indexes[0])}{upper}:{column_letters(indexes[-1])}{upper}")
    return merges


def _body_merges(specs: Sequence[SampleColumn], visits: Sequence[Visit]) -> list[str]:
    letters = [column_letters(index) for index, spec in enumerate(specs) if spec.per_patient]
    merges = []
    for _, group in groupby(visits, key=lambda visit: visit.patient):
        rows = [visit.row_number for visit in group]
        if len(rows) > 1:
            merges += [f"{letter}{rows[0]}:{letter}{rows[-1]}" for letter in letters]
    return merges


def _totals(specs: Sequence[SampleColumn], body: Sequence[Sequence[Cell]]) -> list[Cell]:
    totals: list[Cell] = ["合计"]
    for index, spec in enumerate(specs[1:], start=1):
        if not spec.summed:
            totals.append(None)
            continue
        values = [float(str(row[index]).replace(",", "")) for row in body]
        as_text = isinstance(body[0][index], str)
        totals.append(f"{sum(values):,.2f}" if as_text else int(sum(values)))
    return totals


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a sample file as the command line asks."""
    parser = argparse.ArgumentParser(prog="python -m examples.sample", description="Makes sample files.")
    parser.add_argument("path", type=Path, help="where to write the file")
    parser.add_argument("--rows", type=int, default=DEFAULT_ROWS, help="rows of the workbook, with the totals")
    parser.add_argument("--columns", type=int, default=DEFAULT_COLUMNS, help="columns of the workbook")
    parser.add_argument("--csv-bytes", type=int, help="write a CSV file of exactly this size instead")
    options = parser.parse_args(arguments)
    if options.csv_bytes is not None:
        print(write_sample_csv(options.path, options.csv_bytes))
    else:
        print(write_sample(options.path, options.rows, options.columns))


if __name__ == "__main__":
    main()
