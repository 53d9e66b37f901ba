"""Everything that is read besides xlsx and plain CSV, and what the names of such files say."""

import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from worker_service.tables import ErrorCode, Limits, TableError, WarningCode
from worker_service.tables.inflate import Packing

from .hostile import changed_parts
from .legacy_files import xls, xlsb
from .support import Converter, open_document, raw_workbook

ROWS: list[list[str | float | None]] = [
    ["编号", "值", "备注"],
    ["P1", 1.5, "高"],
    ["P2", 2.0, None],
    ["P3", 3.25, "低"],
]
COLUMNS = {"编号": ["P1", "P2", "P3"], "值": [1.5, 2.0, 3.25], "备注": ["高", None, "低"]}
HTML = (
    "<html><head><meta charset=gb2312><style>td{{mso-number-format:'\\@'}}</style></head><body>"
    "<table><tr><td>报表</td></tr></table><table border=1><tr><th>编号<th>值<th>备注</tr>"
    "<tr><td>P1<td x:num='1.5'>1.50<td>高</tr><tr style='display:none'><td>P2</td><td>2</td><td>&nbsp;</td></tr>"
    "<tr><td>P3</td><td>3.25</td><td>\n  低\n</td></tr></table></body></html>"
)
SHEET_XML = (
    '<?xml version="1.0"?><?mso-application progid="Excel.Sheet"?>'
    '<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet" '
    'xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet"><Worksheet ss:Name="门诊"><Table>{rows}</Table>'
    "</Worksheet></Workbook>"
)


def packed(data: bytes, packing: Packing) -> bytes:
    target = pa.BufferOutputStream()
    with pa.CompressedOutputStream(target, packing) as stream:
        stream.write(data)
    return bytes(target.getvalue())


def csv_text() -> str:
    return "".join(",".join("" if cell is None else str(cell) for cell in row) + "\n" for row in ROWS)


SMALL = st.floats(1e-30, 1e-3)
LARGE = st.floats(1e-3, 1e14).map(lambda value: value + 0.5 if value.is_integer() else value)


@given(st.lists(st.one_of(SMALL, LARGE, SMALL.map(float.__neg__), LARGE.map(float.__neg__)), min_size=1, max_size=9))
@example([34973456.89, 1.234567890123, 1e-12, 0.1 + 0.2, 123456789.123456, 2.5e-10])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_numbers_of_workbooks_keep_every_digit(run: Converter, numbers: list[float]) -> None:
    cells = "".join(f'<row r="{row}"><c r="A{row}"><v>{value!r}</v></c></row>' for row, value in enumerate(numbers, 2))
    xlsx = raw_workbook('<row r="1"><c r="A1" t="inlineStr"><is><t>v</t></is></c></row>' + cells)
    binary = xlsb([["v"], *([value] for value in numbers)])
    assert run(xlsx, "t.xlsx").columns == run(binary, "t.xlsb").columns == {"v": numbers}


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_packed_text(run: Converter, packing: Packing) -> None:
    result = run(packed(csv_text().encode("gb18030"), packing), "t.csv.gz")
    assert result.columns == COLUMNS
    assert (result.report.format, result.report.encoding) == ("csv", "gb18030")
    assert (result.report.reading[0].name, result.report.reading[0].value) == ("packing", packing)
    assert WarningCode.EXTENSION_MISMATCH not in result.codes()


def test_a_gzip_file_of_several_members(run: Converter) -> None:
    text = csv_text().encode()
    assert run(gzip.compress(text[:30]) + gzip.compress(text[30:])).columns == COLUMNS


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_packed_bombs_and_damage(run: Converter, packing: Packing) -> None:
    data = packed(csv_text().encode() * 1000, packing)
    limits = Limits(free_inflated_bytes=1000, max_inflation=5)
    for bad, code, limit in (
        (packed(bytes(3_000_000), packing), ErrorCode.LIMIT_EXCEEDED, "max_inflation"),
        (data[: len(data) // 2], ErrorCode.FILE_CORRUPT, None),
        (packed(packed(b"a,b\n1,2\n", packing), packing), ErrorCode.FILE_FORMAT_UNSUPPORTED, None),
    ):
        with pytest.raises(TableError) as caught:
            run(bad, "t.csv.gz", limits=limits)
        assert (caught.value.code, caught.value.metadata.get("limit")) == (code, limit)


def test_json_lines(run: Converter) -> None:
    lines = [
        {"id": "001", "value": 1.5, "ok": True, "tags": ["a", {}]},
        {"id": "002", "more": "x\ny", "ok": None},
        {"id": "003", "value": 12345678901234567890, "ok": False},
    ]
    text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n\n"
    result = run(text, "t.jsonl")
    assert result.report.format == "json"
    assert result.columns == {
        "id": ["001", "002", "003"],
        "value": ["1.5", None, "12345678901234567890"],
        "ok": [True, None, False],
        "tags": ['["a", {}]', None, None],
        "more": [None, "x\ny", None],
    }
    assert WarningCode.HEADER_MISSING not in result.codes()


def test_a_json_array_of_objects(run: Converter) -> None:
    rows = [{"编号": index, "值": str(index) * 100} for index in range(8_000)]
    result = run(json.dumps(rows, indent=1), "t.json")
    assert result.columns["编号"] == list(range(8_000))
    assert result.columns["值"][-1] == "7999" * 100


@pytest.mark.parametrize(
    "text",
    ['{"a": 1}\n{"a": ', '{"a": 1}\n[1]\n', '{"a": 1, "a": 2}', '[{"a": 1}, 2]', '[{"a": 1}, {"a"', '{"a":' * 9999],
)
def test_broken_json_says_where(run: Converter, text: str) -> None:
    with pytest.raises(TableError) as caught:
        run(text, "t.json")
    assert caught.value.code == ErrorCode.FILE_CORRUPT
    assert caught.value.row in (1, 2)


def test_one_json_object_over_several_lines_is_no_table(run: Converter) -> None:
    with pytest.raises(TableError) as caught:
        run('{\n  "data": [\n    {"a": 1}\n  ]\n}\n', "t.json")
    assert caught.value.code == ErrorCode.NOT_TABULAR


def test_parquet(run: Converter) -> None:
    table = pa.table(
        {
            "编号": pa.array(["001", "002", None]),
            "n": pa.array([1, None, 3], pa.int16()),
            "x": pa.array([0.1, 1e-7, None], pa.float32()),
            "day": pa.array([0, 19787, None], pa.date32()),
            "at": pa.array([0, 1_700_000_000_500_000, None], pa.timestamp("us")),
            "list": pa.array([[1, 2], None, []]),
            "raw": pa.array([b"\xff\x00", b"ok", None]),
            "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
        }
    )
    target = io.BytesIO()
    pq.write_table(table, target)
    result = run(target.getvalue(), "t.parquet")
    assert result.report.format == "parquet"
    assert result.columns["编号"] == ["001", "002", None]
    assert result.columns["n"] == [1, None, 3]
    assert result.columns["x"] == [0.1, 1e-7, None]
    assert [str(day) for day in result.columns["day"][:2]] == ["1970-01-01", "2024-03-05"]
    assert str(result.columns["at"][1]) == "2023-11-14 22:13:20.500000"
    assert result.columns["list"] == ["[1, 2]", None, "[]"]
    assert result.columns["raw"] == ["ff00", "ok", None]
    assert result.columns["kind"] == ["a", "b", "a"]
    for cut in (8, 100, len(target.getvalue()) - 9):
        with pytest.raises(TableError) as caught:
            run(target.getvalue()[:cut], "t.parquet")
        assert caught.value.code == ErrorCode.FILE_CORRUPT


@pytest.mark.parametrize("encoding", ["gb2312", "utf-8", "utf-16"])
def test_a_web_page_named_xls(run: Converter, encoding: str) -> None:
    result = run(HTML.encode(encoding), "t.xls")
    assert result.columns == COLUMNS
    assert (result.report.format, result.report.sheet) == ("html", "table 2")
    assert {WarningCode.EXTENSION_MISMATCH, WarningCode.OTHER_SHEETS} <= result.codes()
    assert result.warning_rows(WarningCode.HIDDEN_ROWS) == (3,)


def test_spans_of_a_web_page_are_merged_cells(run: Converter) -> None:
    page = (
        "<table><tr><th rowspan=2>id<th colspan=2>bp<th rowspan=2>pulse</tr><tr><th>high<th>low</tr>"
        "<tr><td rowspan=2>P1<td>120<td>80<td>70</tr><tr><td>130<td>85<td>72</tr></table>"
    )
    result = run(page, "t.html")
    assert result.columns == {"id": ["P1", "P1"], "bp_high": [120, 130], "bp_low": [80, 85], "pulse": [70, 72]}


def test_a_web_page_without_a_table(run: Converter) -> None:
    with pytest.raises(TableError) as caught:
        run("<!DOCTYPE html><html><body><p>Please log in</p></body></html>", "t.xls")
    assert caught.value.code == ErrorCode.NOT_TABULAR


def test_excel_2003_xml_named_xls(run: Converter) -> None:
    def cell(value: object, kind: str = "String", more: str = "") -> str:
        return f'<Cell{more}><Data ss:Type="{kind}">{value}</Data></Cell>'

    down, third = ' ss:MergeDown="1"', ' ss:Index="3"'
    rows = (
        f"<Row>{cell('id')}{cell('day')}{cell('ok')}{cell('n')}</Row>"
        f'<Row ss:Index="3" ss:Hidden="1">{cell("P1")}{cell("2024-03-05T00:00:00.000", "DateTime")}'
        f"{cell(1, 'Boolean')}{cell('#N/A', 'Error')}</Row>"
        f"<Row>{cell('P2', more=down)}{cell('2024-03-06T00:00:00.000', 'DateTime')}"
        f"{cell(0, 'Boolean', third)}{cell('2.5', 'Number')}</Row>"
        f"<Row>{cell(1, 'Boolean', third)}{cell('3', 'Number')}</Row>"
    )
    result = run(SHEET_XML.format(rows=rows), "t.xls")
    assert (result.report.format, result.report.sheet) == ("xml", "门诊")
    assert result.columns["id"] == ["P1", "P2", "P2"]
    assert [str(day) for day in result.columns["day"]] == ["2024-03-05", "2024-03-06", "None"]
    assert result.columns["ok"] == [True, False, True]
    assert result.columns["n"] == [None, 2.5, 3.0]
    assert result.warning_rows(WarningCode.HIDDEN_ROWS) == (3,)


def test_excel_2003_xml_with_entities(run: Converter) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
    with pytest.raises(TableError) as caught:
        run(SHEET_XML.format(rows="<Row/>").replace("?><W", f"?>{bomb}<W"), "t.xls")
    assert caught.value.code == ErrorCode.UNSAFE_XML


@pytest.mark.parametrize(("write", "name"), [(xls, "t.xls"), (xlsb, "t.xlsb"), (open_document, "t.ods")])
def test_legacy_workbooks(run: Converter, write: object, name: str) -> None:
    rows = [[cell or "" for cell in row] for row in ROWS] if write is open_document else ROWS
    result = run(write(rows), name)  # type: ignore[operator]  # any of the three
    assert result.columns == COLUMNS
    assert result.report.format == name.partition(".")[2]


def test_times_of_an_open_document(run: Converter) -> None:
    plain = open_document([["name", "stay"], ["ann", 7.0], ["bob", 8.0]])

    def with_times(name: str, part: bytes) -> bytes:
        for number, time in ((b"7.0", b"PT11H12M12S"), (b"8.0", b"PT288H00M00S")):
            old = b'office:value-type="float" office:value="' + number + b'"'
            part = part.replace(old, b'office:value-type="time" office:time-value="' + time + b'"')
        return part

    assert run(changed_parts(plain, with_times), "t.ods").columns["stay"] == ["11:12:12", "288:00:00"]


@pytest.mark.parametrize(("write", "name"), [(xls, "t.xls"), (xlsb, "t.xlsb")])
def test_hidden_rows_of_legacy_workbooks_are_reported(run: Converter, write: object, name: str) -> None:
    result = run(write(ROWS, hidden_rows=[3]), name)  # type: ignore[operator]  # either of the two
    assert result.warning_rows(WarningCode.HIDDEN_ROWS) == (3,)
