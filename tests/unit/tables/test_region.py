"""Where a table begins, where it ends, and what its columns are called."""

from collections import Counter
from random import Random

import pytest

from worker_service.tables import TableError, WarningCode
from worker_service.tables.region import locate

from .layouts import draw
from .support import Converter, workbook

BODY = "".join(
    f"{name},{age},{weight}\n" for name, age, weight in (("甲", 41, 70.5), ("乙", 52, 61.0), ("丙", 63, 55.2))
)


def test_trial_of_drawn_layouts() -> None:
    """Header rows and first body row of every kind of layout; 96 of 100 must be right."""
    right, drawn = Counter[str](), Counter[str]()
    for seed in range(600):
        layout = draw(Random(seed))  # the same layouts each time
        region = locate(layout)
        drawn[layout.kind] += 1
        right[layout.kind] += region.header == layout.header and region.first_row == layout.first_body + 1
    shares = {kind: right[kind] / count for kind, count in drawn.items()}
    assert right.total() >= 0.96 * drawn.total(), shares
    # What stands alone above one group of columns may as well be a title: half of these are.
    assert {kind for kind, share in shares.items() if share < 0.98} <= {"two_rows_gappy"}, shares


def test_units_below_the_header_are_kept_as_units(run: Converter) -> None:
    result = run("姓名,收缩压,体重(kg)\n,(mmHg),\n甲,120,70\n乙,130,80\n")
    assert result.columns["收缩压"] == [120, 130]
    assert [column.unit for column in result.report.columns] == ["", "mmHg", "kg"]
    assert result.warning_rows(WarningCode.UNITS_ROW) == (2,)
    assert [(r["row"], r["raw"], r["reason"]) for r in result.rejects] == [(2, "(mmHg)", "UNITS_ROW")]


def test_a_repeated_header_is_no_row(run: Converter) -> None:
    result = run(f"姓名,年龄,体重\n{BODY}姓名,年龄,体重\n{BODY}")
    assert result.columns["年龄"] == [41, 52, 63] * 2
    assert result.warning_rows(WarningCode.REPEATED_HEADER) == (5,)
    assert [reject["raw"] for reject in result.rejects] == ["姓名", "年龄", "体重"]
    assert {reject["reason"] for reject in result.rejects} == {"REPEATED_HEADER"}


@pytest.mark.parametrize("as_workbook", [True, False])
def test_a_second_table_is_told_and_never_merged(run: Converter, as_workbook: bool) -> None:
    first: list[list[object]] = [["姓名", "年龄", "体重"], ["甲", 41, 70.5], ["乙", 52, 61], ["丙", 63, 55.2]]
    second: list[list[object]] = [["药品", "剂量", "次数"], ["阿司匹林", 100, 1], ["华法林", 3, 2]]
    rows: list[list[object]] = [*first, [], *second]
    if as_workbook:
        result = run(workbook(rows), "t.xlsx")
    else:
        result = run("\n".join(",".join(str(cell) for cell in row) for row in rows) + "\n")
    assert result.columns["年龄"] == [41, 52, 63]
    assert result.column("年龄").dtype == "int64"
    assert result.warning_rows(WarningCode.SECOND_TABLE) == (6,)
    told = next(w for w in result.report.warnings if w.code == WarningCode.SECOND_TABLE)
    assert told.count == 3
    aside = [(r["row"], r["column"], r["raw"]) for r in result.rejects if r["reason"] == "SECOND_TABLE"]
    assert aside[:4] == [(6, "姓名", "药品"), (6, "年龄", "剂量"), (6, "体重", "次数"), (7, "姓名", "阿司匹林")]
    assert len(aside) == 9


def test_a_gap_alone_is_no_second_table(run: Converter) -> None:
    rows: list[list[object]] = [
        ["姓名", "年龄", "体重"],
        ["甲", 41, 70.5],
        [],
        ["乙", 52, 61],
        [],
        ["丙", "无", "NA"],
        ["丁", 3, 5],
    ]
    result = run(workbook(rows), "t.xlsx")
    assert result.columns["姓名"] == ["甲", "乙", "丙", "丁"]
    assert WarningCode.SECOND_TABLE not in result.codes()


def test_tables_side_by_side_are_told(run: Converter) -> None:
    rows: list[list[object]] = [
        ["姓名", "年龄", None, "药品", "剂量"],
        ["甲", 41, None, "华法林", 3],
        ["乙", 52, None, "阿司匹林", 100],
    ]
    result = run(workbook(rows), "t.xlsx")
    told = next(w for w in result.report.warnings if w.code == WarningCode.SIDE_TABLE)
    assert (told.column, told.count) == ("药品", 2)


def test_the_caller_may_name_the_header_row() -> None:
    layout = draw(Random(4))
    asked = locate(layout, header_row=3)
    assert (asked.header, asked.first_row) == ((2,), 4)
    assert asked.preamble == (0, 1)
    assert locate(layout, header_row=0).header == ()
    with pytest.raises(TableError, match="none of the first"):
        locate(layout, header_row=5000)


def test_the_report_tells_the_header_row(run: Converter) -> None:
    found = {choice.name: choice for choice in run(f"Export\n姓名,年龄,体重\n{BODY}").report.reading}
    assert (found["header_row"].value, found["header_row"].origin) == ("2", "detected")
    assert 0.5 < found["header_row"].confidence < 1
    asked = {choice.name: choice for choice in run(f"姓名,年龄,体重\n{BODY}", header_row=0).report.reading}
    assert (asked["header_row"].value, asked["header_row"].origin) == ("0", "given")


@pytest.mark.parametrize(
    "first",
    ["1,2,3,4,5,6", "甲,1,2,3,4.5,6", "甲,2024-01-01,2024-01-05,2024-02-01,7,8", "2019,2020,2021,2022,2023,2024"],
)
def test_values_in_sequence_are_no_names(run: Converter, first: str) -> None:
    row = ",".join("甲" if cell == "甲" else "2023-05-06" if "-" in cell else "37" for cell in first.split(","))
    assert WarningCode.HEADER_MISSING in run(f"{first}\n{row}\n{row.replace('7', '9')}\n").codes()


@pytest.mark.parametrize(
    "names", ["地区,2019,2020,2021", "id,1,2,3,4,5,6", "病人,2024-01-01,2024-01-02,2024-01-03,2024-01-04,2024-01-05"]
)
def test_years_and_long_sequences_beside_a_name_are_names(run: Converter, names: str) -> None:
    width = names.count(",")
    rows = "".join(f"{place}{',1.5' * width}\n" for place in ("甲", "乙", "丙"))
    result = run(f"{names}\n{rows}")
    assert list(result.columns) == names.split(",")
