"""The sample files: what the documentation says is in them is in them."""

import csv
import datetime
import re
from pathlib import Path

import openpyxl
import pytest
from python_calamine import CalamineWorkbook

from examples.sample import FIRST_DATA_ROW, write_sample
from examples.sample_csv import CSV_COLUMNS, write_sample_csv


def test_the_workbook_has_3339_rows_with_the_totals_and_151_columns(tmp_path: Path) -> None:
    facts = write_sample(tmp_path / "sample.xlsx")
    assert (facts.rows, facts.columns) == (3339, 151)
    rows = CalamineWorkbook.from_path(facts.path).get_sheet_by_name(facts.sheet).to_python()
    assert {len(row) for row in rows} == {151}
    assert len(rows) == FIRST_DATA_ROW - 1 + 3339 == facts.totals_row
    assert rows[-1][0] == "合计"


def test_the_workbook_is_as_messy_as_promised(tmp_path: Path) -> None:
    facts = write_sample(tmp_path / "sample.xlsx", rows=700)
    sheet = openpyxl.load_workbook(facts.path, data_only=True)[facts.sheet]
    rows = list(sheet.iter_rows(min_row=2, values_only=True))
    upper, lower, *body, totals = rows
    merges = {str(merged) for merged in sheet.merged_cells.ranges}
    assert {"A1:EU1", "A2:A3", "M2:N2"} <= merges
    assert (upper[12], lower[12], lower[13]) == ("血压(mmHg)", "收缩压", "舒张压")
    assert any(re.fullmatch(r"A\d{2,}:A\d{2,}", ref) for ref in merges)
    assert upper.count("备注") == 3
    cells = [cell for row in body for cell in row]
    assert {"NA", "-", "无", "<0.5", "#N/A", True} <= set(cells)
    assert sum(cell in {"#N/A", "#DIV/0!"} for cell in cells) == facts.error_cells
    assert all(row[2] is None or len(str(row[2])) == 18 for row in body)
    assert {type(row[8]) for row in body} >= {str, datetime.datetime}
    assert {row[28] for row in body} == {None}
    assert {row[27] for row in body} == {"示范市中心医院"}
    assert str(totals[22]).count(",") == 2
    assert len({row[0] for row in body} - {None}) == facts.patients


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("1.xlsx", "2.xlsx", "3.xlsx"))
    write_sample(first, rows=40)
    write_sample(second, rows=40)
    write_sample(third, rows=40, seed=1)
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != third.read_bytes()


@pytest.mark.parametrize(("rows", "columns"), [(2, 1), (10, 13), (5, 400)])
def test_other_sizes_can_be_had(tmp_path: Path, rows: int, columns: int) -> None:
    facts = write_sample(tmp_path / "s.xlsx", rows=rows, columns=columns)
    sheet = openpyxl.load_workbook(facts.path)[facts.sheet]
    assert sheet.max_row == FIRST_DATA_ROW - 1 + rows
    assert len(list(sheet.iter_cols(min_row=2, max_row=2))) == columns


@pytest.mark.parametrize("size_bytes", [4096, 4097, 100_000, 5_000_000])
def test_a_csv_has_exactly_the_size_asked_for(tmp_path: Path, size_bytes: int) -> None:
    facts = write_sample_csv(tmp_path / "s.csv", size_bytes)
    assert (tmp_path / "s.csv").stat().st_size == size_bytes
    with (tmp_path / "s.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == CSV_COLUMNS
    assert len(rows) == facts.rows
    assert {len(row) for row in rows} == {facts.columns}
    assert len({row[0] for row in rows}) == facts.rows
