"""Delimited text: encodings, dialects, and the ways in which popular readers lose rows of it."""

import pytest

from worker_service.tables import ErrorCode, Limits, TableError, WarningCode

from .support import Converter

CLINIC = "姓名,性别,诊断\n张三,男,高血压\n李四,女,糖尿病\n王五,男,未见异常\n"
TAIWAN = "姓名,性別,診斷\n陳大文,男,高血壓\n林小美,女,糖尿病\n"
JAPAN = "名前,性別,メモ\n山田たろう,男,テストです\n鈴木はなこ,女,けんさ\n"
KOREA = "이름,성별,메모\n김철수,남,고혈압\n이영희,여,당뇨병\n"
FRANCE = "nom,prénom,température\nLefèvre,André,37°\nGarçon,Zoë,38°\n"
RUSSIA = "имя,пол,диагноз\nИван,муж,гипертония\nАнна,жен,диабет\n"


@pytest.mark.parametrize(
    ("text", "encoding", "detected"),
    [
        (CLINIC, "utf-8", "utf-8"),
        (CLINIC, "utf-8-sig", "utf-8"),
        (CLINIC, "utf-16", "utf-16-le"),
        ("id,name\n1,ab\n2,cd\n", "utf-16-le", "utf-16-le"),
        ("id,name\n1,ab\n2,cd\n", "utf-16-be", "utf-16-be"),
        (CLINIC, "gb18030", "gb18030"),
        (TAIWAN, "big5", "big5hkscs"),
        (JAPAN, "shift_jis", "cp932"),
        (JAPAN, "euc_jp", "euc_jp"),
        (KOREA, "euc_kr", "cp949"),
        (FRANCE, "cp1252", "cp1252"),
        (RUSSIA, "cp1251", "cp1251"),
    ],
)
def test_encodings_give_the_same_cells(run: Converter, text: str, encoding: str, detected: str) -> None:
    expected = run(text)
    result = run(text.encode(encoding))
    assert result.report.encoding == detected
    assert result.columns == expected.columns
    guessed = detected not in {"utf-8", "utf-16-le", "utf-16-be"}
    assert (WarningCode.ENCODING_GUESSED in result.codes()) == guessed


def test_encoding_is_judged_on_the_whole_file(run: Converter) -> None:
    late = "id,note\n" + "".join(f"{number},plain\n" for number in range(200_000)) + "200000,高血压病历\n"
    result = run(late.encode("gb18030"))
    assert result.report.encoding == "gb18030"
    assert result.columns["note"][-1] == "高血压病历"


def test_bad_bytes_are_kept_visible_and_reported(run: Converter) -> None:
    result = run("姓名,值\n".encode() + "张三男女,1\n".encode() * 60 + b"a\xff\xfeb,2\n")
    assert result.columns["姓名"][-1] == "a\\xff\\xfeb"
    assert result.warning_rows(WarningCode.ENCODING_ERRORS) == (62,)


def test_a_single_sign_does_not_make_a_file_binary(run: Converter) -> None:
    result = run(b"a,b,c\n1,2,3\n4,5,\xa9\n")
    assert (result.report.encoding, result.columns["c"]) == ("cp1252", ["3", "©"])
    assert WarningCode.ENCODING_GUESSED in result.codes()


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_delimiters(run: Converter, delimiter: str) -> None:
    rows = [["id", "note", "value"], ["1", "a b", "2.5"], ["2", "c:d", "3"]]
    result = run("".join(delimiter.join(row) + "\n" for row in rows))
    assert result.report.delimiter == delimiter
    assert result.columns == {"id": [1, 2], "note": ["a b", "c:d"], "value": [2.5, 3.0]}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(run: Converter, end: str) -> None:
    result = run(end.join(["a,b", "1,x", "2,y"]) + end)
    assert result.columns == {"a": [1, 2], "b": ["x", "y"]}


def test_one_column(run: Converter) -> None:
    assert run("name\nann\nbob\n").columns == {"name": ["ann", "bob"]}


def test_quotes_hold_delimiters_line_ends_and_quotes(run: Converter) -> None:
    result = run('id,note,c\n1,"a, ""b""\nsecond line",x\n2,plain,y\n')
    assert result.columns["note"] == ['a, "b"\nsecond line', "plain"]
    assert result.column("c").samples[1].row == 4


def test_an_unclosed_quote_swallows_nothing(run: Converter) -> None:
    body = "".join(f"{number},ok,1,2\n" for number in range(50))
    result = run(f'id,note,c,d\n{body}50,"broken,1,2\n{body}51,"fine, really",1,2\n')
    assert result.report.row_count == 102
    assert result.columns["note"][50] == '"broken'
    assert result.columns["note"][-1] == "fine, really"
    assert result.warning_rows(WarningCode.UNCLOSED_QUOTE) == (52,)


def test_two_unclosed_quotes_do_not_pair_up(run: Converter) -> None:
    result = run('id,note,c,d\n1,"a,1,2\n2,b,1,2\n3,"c,1,2\n4,d,1,2\n')
    assert result.columns["note"] == ['"a', "b", '"c', "d"]


def test_quotes_inside_cells_stay(run: Converter) -> None:
    result = run('id,note\n1,5" pipe\n2,"6" x 7""\n3,"say ""hi"""\n')
    assert result.columns["note"][0] == '5" pipe'
    assert result.columns["note"][2] == 'say "hi"'
    assert result.report.row_count == 3


def test_ragged_rows_are_repaired_to_the_usual_width(run: Converter) -> None:
    result = run("a,b,c\n1,x,y\n2,z\n3,p,q,extra,more\n4,u,v\n")
    assert result.columns == {"a": [1, 2, 3, 4], "b": ["x", "z", "p", "u"], "c": ["y", None, "q", "v"]}
    assert result.warning_rows(WarningCode.RAGGED_ROWS) == (3, 4)
    assert [(r["row"], r["raw"], r["reason"]) for r in result.rejects] == [
        (4, "extra", "EXTRA_CELL"),
        (4, "more", "EXTRA_CELL"),
    ]


def test_preamble_is_skipped_and_kept_in_the_rejects(run: Converter) -> None:
    result = run("某某医院检验报告\n导出时间：2024-03-05\n\n编号,姓名,结果\n1,张三,5.1\n2,李四,4.8\n")
    assert list(result.columns) == ["编号", "姓名", "结果"]
    assert result.warning_rows(WarningCode.PREAMBLE_SKIPPED) == (1, 2)
    assert [reject["raw"] for reject in result.rejects] == ["某某医院检验报告", "导出时间：2024-03-05"]


def test_notes_below_leave_the_table_but_are_kept(run: Converter) -> None:
    result = run("a,b,c\n1,2,3\n4,5,6\n\n注：单位 mmol/L\n")
    assert result.columns["a"] == [1, 4]
    assert result.warning_rows(WarningCode.NOTES_BELOW) == (5,)
    assert result.rejects[0]["raw"] == "注：单位 mmol/L"


def test_no_header(run: Converter) -> None:
    result = run("1,2.5,x\n2,3.5,y\n3,4.5,z\n")
    assert list(result.columns) == ["column_1", "column_2", "column_3"]
    assert result.report.row_count == 3
    assert WarningCode.HEADER_MISSING in result.codes()


def test_header_names_are_made_unique(run: Converter) -> None:
    result = run("姓名,数值,数值,,数值__2\na,1,2,3,4\nb,5,6,7,8\n")
    assert list(result.columns) == ["姓名", "数值", "数值__3", "列4", "数值__2"]
    assert result.column("数值__3").source_name == "数值"
    assert {WarningCode.HEADER_BLANK, WarningCode.HEADER_DUPLICATE} <= result.codes()


def test_two_header_rows(run: Converter) -> None:
    result = run("编号,血压,,心率\n,收缩压,舒张压,\n1,120,80,70\n2,130,85,72\n")
    assert list(result.columns) == ["编号", "血压_收缩压", "血压_舒张压", "心率"]


def test_totals_and_duplicates_are_reported_and_kept(run: Converter) -> None:
    result = run("name,value\nann,1\nbob,2\nann,1\n合计,4\n")
    assert result.report.row_count == 4
    assert result.warning_rows(WarningCode.TOTALS_ROW) == (5,)
    assert result.warning_rows(WarningCode.DUPLICATE_ROWS) == (4,)


def test_blank_rows_and_columns_are_reported(run: Converter) -> None:
    result = run("a,b,\n1,x,\n,,\n2,y,\n")
    assert result.columns == {"a": [1, 2], "b": ["x", "y"]}
    assert result.warning_rows(WarningCode.BLANK_ROWS) == (3,)
    assert WarningCode.BLANK_COLUMNS in result.codes()
    assert result.column("b").samples[1].row == 4


def test_header_only(run: Converter) -> None:
    result = run("id,name\n")
    assert result.report.row_count == 0
    assert result.columns == {"id": [], "name": []}


def test_a_cell_too_long_goes_to_the_rejects_whole(run: Converter) -> None:
    result = run(f"a,b\n1,{'x' * 50}\n2,y\n", limits=Limits(max_cell_chars=20))
    assert result.columns["b"] == [None, "y"]
    assert result.column("b").rejected == 1
    assert result.rejects == [{"row": 2, "column": "b", "raw": "x" * 50, "reason": "CELL_TOO_LONG"}]
    assert result.warning_rows(WarningCode.CELL_TOO_LONG) == (2,)


@pytest.mark.parametrize("limits", [Limits(max_rows=2), Limits(max_columns=1), Limits(max_cells=4)])
def test_limits_name_themselves(run: Converter, limits: Limits) -> None:
    with pytest.raises(TableError) as caught:
        run("a,b\n1,x\n2,y\n3,z\n", limits=limits)
    assert caught.value.code == ErrorCode.LIMIT_EXCEEDED
    assert caught.value.metadata["limit"] in {"max_rows", "max_columns", "max_cells"}


def test_text_named_xlsx_is_read_by_content(run: Converter) -> None:
    result = run("a,b\n1,x\n2,y\n", "report.xlsx")
    assert result.columns["a"] == [1, 2]
    assert WarningCode.EXTENSION_MISMATCH in result.codes()
    assert WarningCode.EXTENSION_MISMATCH not in run("a,b\n1,x\n", "report.csv").codes()


def test_progress_ends_where_it_should(run: Converter) -> None:
    progress = run("a,b\n1,x\n2,y\n").progress
    assert progress[0].stage == "triage"
    last = {p.stage: p for p in progress}
    assert (last["clean"].done, last["clean"].total) == (2, 2)
    assert (last["write"].done, last["profile"].done) == (2, 2)


def test_same_bytes_same_result(run: Converter) -> None:
    data = "a,b,c\n" + "".join(f"{n % 7},{n % 3},{'NA' if n % 5 == 0 else n}\n" for n in range(5000))
    first, second = run(data), run(data)
    assert first.report.to_json() == second.report.to_json()
    assert first.clean.read_bytes() == second.clean.read_bytes()
