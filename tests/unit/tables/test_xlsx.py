"""Workbooks: what readers hide, drop or round must arrive all the same."""

import datetime as dt

import pytest

from worker_service.tables import ErrorCode, Limits, TableError, WarningCode

from .support import STRICT, Converter, open_document, raw_workbook, workbook

ROW = '<row r="{0}"><c r="A{0}" t="inlineStr"><is><t>{1}</t></is></c><c r="B{0}">{2}</c></row>'
HEAD = (
    '<row r="1"><c r="A1" t="inlineStr"><is><t>name</t></is></c><c r="B1" t="inlineStr"><is><t>value</t></is></c></row>'
)


def test_cells_of_every_kind(run: Converter) -> None:
    stamp = dt.datetime(2024, 3, 5, 12, 30, 15)
    result = run(
        workbook(
            [
                ["id", "value", "day", "seen", "yes", "clock", "text"],
                ["00123", 1.5, dt.date(2024, 3, 5), stamp, True, dt.time(10, 30), " padded "],
                ["00124", -2, dt.date(1900, 3, 1), stamp, False, dt.time(23, 59, 59), "two\nlines"],
            ]
        ),
        "t.xlsx",
    )
    assert result.columns == {
        "id": ["00123", "00124"],
        "value": [1.5, -2.0],
        "day": [dt.date(2024, 3, 5), dt.date(1900, 3, 1)],
        "seen": [stamp, stamp],
        "yes": [True, False],
        "clock": ["10:30:00", "23:59:59"],
        "text": [" padded ", "two\nlines"],
    }
    assert result.report.sheet == "data"


def test_elapsed_times_are_not_dates(run: Converter) -> None:
    result = run(workbook([["a", "b"], [1, dt.timedelta(hours=30)], [2, dt.timedelta(days=2, minutes=5)]]), "t.xlsx")
    assert result.columns["b"] == ["30:00:00", "48:05:00"]


def test_vertical_merges_are_filled_down(run: Converter) -> None:
    rows: list[list[object]] = [["patient", "value"], ["P1", 1], [None, 2], [None, 3], ["P2", 4], [None, 5]]
    result = run(workbook(rows, merges=["A2:A4", "A5:A6"]), "t.xlsx")
    assert result.columns["patient"] == ["P1", "P1", "P1", "P2", "P2"]
    patient = result.column("patient")
    assert (patient.filled_down, patient.source_nonempty, patient.kept_as_text) == (3, 2, 2)
    assert result.warning_rows(WarningCode.MERGED_FILLED) == (3, 4, 6)


def test_a_merged_row_without_other_values_is_kept(run: Converter) -> None:
    result = run(workbook([["a", "b", "c"], ["x", 1, 2], [None, None, None], ["y", 3, 4]], merges=["A2:A3"]), "t.xlsx")
    assert result.columns["a"] == ["x", "x", "y"]


def test_groups_merged_over_most_columns_are_header_not_preamble(run: Converter) -> None:
    groups: list[object] = ["编号", "血压", None, None, "血脂", None, None, "体温", None, None]
    names: list[object] = [None, *(["入院", "出院", "复诊"] * 3)]
    title: list[object] = ["住院患者汇总", *[None] * 9]
    rows = [title, groups, names, *[[f"P{row}", *range(row, row + 9)] for row in range(5)]]
    result = run(workbook(rows, merges=["A1:J1", "A2:A3", "B2:D2", "E2:G2", "H2:J2"]), "t.xlsx")
    assert list(result.columns)[:5] == ["编号", "血压_入院", "血压_出院", "血压_复诊", "血脂_入院"]
    assert result.report.row_count == 5
    assert result.warning_rows(WarningCode.PREAMBLE_SKIPPED) == (1,)


def test_merged_header_is_joined(run: Converter) -> None:
    rows: list[list[object]] = [
        ["编号", "血压", None, "心率"],
        [None, "收缩压", "舒张压", None],
        [1, 120, 80, 70],
        [2, 130, 85, 72],
    ]
    result = run(workbook(rows, merges=["B1:C1", "A1:A2", "D1:D2"]), "t.xlsx")
    assert list(result.columns) == ["编号", "血压_收缩压", "血压_舒张压", "心率"]
    assert result.warning_rows(WarningCode.HEADER_JOINED) == (1, 2)


def test_title_above_and_leading_blanks(run: Converter) -> None:
    rows: list[list[object]] = [
        [],
        [None, "2024 年随访"],
        [],
        [None, "编号", "值", "日"],
        [None, 1, 2.5, 3],
        [None, 2, 3.5, 4],
    ]
    result = run(workbook(rows, merges=["B2:D2"]), "t.xlsx")
    assert list(result.columns) == ["编号", "值", "日"]
    assert result.column("编号").samples[0].row == 5
    assert result.rejects[0]["raw"] == "2024 年随访"


def test_error_cells_are_null_counted_and_located(run: Converter) -> None:
    cells = ROW.format(2, "x", "<v>1</v>") + (
        '<row r="3"><c r="A3" t="inlineStr"><is><t>y</t></is></c><c r="B3" t="e"><v>#DIV/0!</v></c></row>'
        '<row r="4"><c r="A4" t="inlineStr"><is><t>z</t></is></c><c r="B4" t="e"><v>#N/A</v></c></row>'
    )
    result = run(raw_workbook(HEAD + cells), "t.xlsx")
    assert result.columns["value"] == [1, None, None]
    assert result.column("value").error_codes == {"#DIV/0!": 1, "#N/A": 1}
    assert result.warning_rows(WarningCode.ERROR_CELLS) == (3, 4)


def test_numbers_arrive_with_every_digit(run: Converter) -> None:
    cells = "".join(
        ROW.format(row, "x", f"<v>{raw}</v>")
        for row, raw in enumerate(["0.30000000000000004", "5.0999999999999996", "1E-7", "2.5"], start=2)
    )
    result = run(raw_workbook(HEAD + cells), "t.xlsx")
    assert result.columns["value"] == [0.30000000000000004, 5.1, 1e-7, 2.5]


def test_long_numbers_stay_text_with_a_warning(run: Converter) -> None:
    cells = ROW.format(2, "x", "<v>1234567890123456789</v>") + ROW.format(3, "y", "<v>12</v>")
    result = run(raw_workbook(HEAD + cells), "t.xlsx")
    assert result.columns["value"] == ["1234567890123456789", "12"]
    assert result.warning_rows(WarningCode.LONG_NUMBERS) == (2,)


def test_formulas_without_a_stored_value_are_counted(run: Converter) -> None:
    result = run(workbook([["a", "b"], [1, "=A2*2"], [2, "=A3*2"]]), "t.xlsx")
    assert result.warning_rows(WarningCode.FORMULAS_WITHOUT_VALUES) == (2, 3)


def test_day_numbers_among_dates(run: Converter) -> None:
    rows: list[list[object]] = [["id", "day"], [1, dt.date(2024, 3, 5)], [2, 45357], [3, dt.date(2024, 3, 7)]]
    result = run(workbook(rows), "t.xlsx")
    assert result.columns["day"] == [dt.date(2024, 3, 5), dt.date(2024, 3, 6), dt.date(2024, 3, 7)]
    assert result.warning_rows(WarningCode.DATE_SERIALS) == (3,)


@pytest.mark.parametrize("number", [3, 30_000, 5_000_000])
def test_numbers_far_from_the_dates_are_no_day_numbers(run: Converter, number: int) -> None:
    rows: list[list[object]] = [["id", "day"], [1, dt.date(2024, 3, 5)], [2, number], [3, dt.date(2024, 3, 7)]]
    rows.append([4, dt.date(2024, 3, 8)])
    assert run(workbook(rows), "t.xlsx").column("day").dtype == "string"


def test_hidden_rows_and_other_sheets_are_told(run: Converter) -> None:
    result = run(workbook([["a", "b"], [1, 2], [3, 4]], hidden_rows=[3], other_sheets=["more"]), "t.xlsx")
    assert result.columns["a"] == [1, 3]
    assert result.warning_rows(WarningCode.HIDDEN_ROWS) == (3,)
    assert WarningCode.OTHER_SHEETS in result.codes()


def test_a_sheet_can_be_chosen(run: Converter) -> None:
    data = workbook([["a", "b"], [1, 2]], sheet="first", other_sheets=["second"])
    assert run(data, "t.xlsx", sheet="first").report.sheet == "first"
    with pytest.raises(TableError) as caught:
        run(data, "t.xlsx", sheet="third")
    assert caught.value.code == ErrorCode.NOT_TABULAR
    assert "first, second" in caught.value.message


def test_strict_workbooks_are_not_empty(run: Converter) -> None:
    result = run(raw_workbook(HEAD + ROW.format(2, "x", "<v>7</v>"), main=STRICT), "t.xlsx")
    assert result.columns == {"name": ["x"], "value": [7]}


def test_prefixed_xml_goes_to_the_full_parser(run: Converter) -> None:
    cells = (HEAD + ROW.format(2, "x", "<v>7</v>")).replace("</", "</x:").replace("<", "<x:").replace("<x:/x:", "</x:")
    result = run(raw_workbook(cells, prefix="x"), "t.xlsx")
    assert result.columns == {"name": ["x"], "value": [7]}


def test_cells_without_references_go_to_the_full_parser(run: Converter) -> None:
    cells = (
        '<row><c t="inlineStr"><is><t>a</t></is></c><c t="inlineStr"><is><t>b</t></is></c></row>'
        "<row><c><v>1</v></c><c><v>2</v></c></row>"
    )
    assert run(raw_workbook(cells), "t.xlsx").columns == {"a": [1], "b": [2]}


def test_streamed_and_loaded_sheets_agree(run: Converter) -> None:
    rows: list[list[object]] = [["id", "v", "when", "ok", "t"]]
    rows += [
        [f"P{n:03}", n / 7, dt.datetime(2024, 1, 1) + dt.timedelta(hours=n), n % 2 == 0, "NA" if n % 5 else "x"]
        for n in range(300)
    ]
    data = workbook(rows)
    loaded = run(data, "t.xlsx")
    streamed = run(data, "t.xlsx", limits=Limits(max_eager_cells=10))
    assert streamed.columns == loaded.columns
    assert streamed.report.columns == loaded.report.columns


def test_open_document_sheets(run: Converter) -> None:
    result = run(open_document([["name", "value"], ["x", 1.5], ["y", 2]]), "t.ods")
    assert result.report.format == "ods"
    assert result.columns == {"name": ["x", "y"], "value": [1.5, 2.0]}
