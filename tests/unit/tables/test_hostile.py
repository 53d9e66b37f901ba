"""Files that are not what they seem: a clear error, never a crash, a hang or an empty success."""

import contextlib
import io
import pickle
import random
import zipfile
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker_service.tables import ErrorCode, Limits, TableError

from .hostile import FILES, WHOLE, Hostile
from .support import Converter, raw_workbook, shared_text_workbook, workbook

PLAIN = workbook([["a", "b"], [1, 2]])


def refused(run: Converter, data: bytes, name: str = "t.xlsx", limits: Limits | None = None) -> TableError:
    with pytest.raises(TableError) as caught:
        run(data, name, limits=limits)
    return caught.value


@pytest.mark.parametrize("data", [b"", b"  \n\t\r\n ", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"])
def test_empty_files(run: Converter, data: bytes) -> None:
    assert refused(run, data).code == ErrorCode.EMPTY_FILE


def test_workbook_without_cells(run: Converter) -> None:
    assert refused(run, workbook([])).code == ErrorCode.EMPTY_FILE


@pytest.mark.parametrize(
    ("data", "detected"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "png"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "pdf"),
        (pickle.dumps({"a": 1}), "pickle"),
        (b"{\\rtf1 text}", "rtf"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "ole2"),
        (b'<?xml version="1.0"?><Workbook/>', "xml"),
    ],
)
def test_other_formats_are_named(run: Converter, data: bytes, detected: str) -> None:
    error = refused(run, data)
    assert (error.code, error.metadata["detected"]) == (ErrorCode.FILE_FORMAT_UNSUPPORTED, detected)


@pytest.mark.parametrize("header", [b"MZ,PK\n1,2\n", b"PAR1,PAR2\n1,2\n", b"PKID,v\n1,2\n"])
def test_headers_that_look_like_magic_numbers_are_text(run: Converter, header: bytes) -> None:
    assert run(header).report.row_count == 1


@pytest.mark.parametrize("seed", range(8))
def test_random_bytes_are_no_table(run: Converter, seed: int) -> None:
    error = refused(run, random.Random(seed).randbytes(4000), "t.csv")
    assert error.code in {ErrorCode.FILE_FORMAT_UNSUPPORTED, ErrorCode.NOT_TABULAR}


def test_docx_is_no_workbook(run: Converter) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", "<document/>")
    error = refused(run, target.getvalue())
    assert (error.code, error.metadata["detected"]) == (ErrorCode.FILE_FORMAT_UNSUPPORTED, "docx")


def test_password_protected(run: Converter) -> None:
    data = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000) + "EncryptedPackage".encode("utf-16-le") + bytes(500)
    error = refused(run, data)
    assert error.code == ErrorCode.FILE_ENCRYPTED
    assert "password" in error.message


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_truncated_workbook(run: Converter, kept: float) -> None:
    assert refused(run, PLAIN[: int(len(PLAIN) * kept)]).code == ErrorCode.FILE_CORRUPT


def test_wrong_checksum(run: Converter) -> None:
    with zipfile.ZipFile(io.BytesIO(PLAIN)) as archive:
        info = archive.getinfo("xl/worksheets/sheet1.xml")
    broken = bytearray(PLAIN)
    for start in range(len(broken) - 4):
        if broken[start : start + 4] == info.CRC.to_bytes(4, "little"):
            broken[start] ^= 0xFF
    assert refused(run, bytes(broken)).code == ErrorCode.FILE_CORRUPT


def test_sheet_without_its_part(run: Converter) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(PLAIN)) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            if "sheet1" not in info.filename:
                new.writestr(info, old.read(info))
    assert refused(run, target.getvalue()).code == ErrorCode.FILE_CORRUPT


def test_xml_entities(run: Converter) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
    data = raw_workbook('<row r="1"><c r="A1" t="inlineStr"><is><t>&b;</t></is></c></row>', before=bomb)
    assert refused(run, data).code == ErrorCode.UNSAFE_XML


def test_zip_bomb(run: Converter) -> None:
    data = raw_workbook('<row r="1"><c r="A1"><v>1</v></c></row>' + " " * 20_000_000)
    error = refused(run, data, limits=Limits(max_uncompressed_bytes=10_000_000))
    assert (error.code, error.metadata["limit"]) == (ErrorCode.LIMIT_EXCEEDED, "max_uncompressed_bytes")


def test_a_cell_in_the_last_corner_reserves_nothing(run: Converter) -> None:
    data = raw_workbook('<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>2</v></c></row>')
    error = refused(run, data)
    assert (error.code, error.metadata["limit"]) == (ErrorCode.LIMIT_EXCEEDED, "max_columns")


def test_a_shared_text_repeated_too_often(run: Converter) -> None:
    data = shared_text_workbook("x" * 30_000, cells=2_000)
    error = refused(run, data, limits=Limits(max_uncompressed_bytes=10_000_000))
    assert (error.code, error.metadata["limit"]) == (ErrorCode.LIMIT_EXCEEDED, "max_uncompressed_bytes")


def test_one_endless_line(run: Converter) -> None:
    assert refused(run, b"x" * 1_500_000, "t.csv").code == ErrorCode.NOT_TABULAR


def test_errors_say_what_and_how_to_fix(run: Converter) -> None:
    for data in (b"", b"%PDF-1.4", PLAIN[:200]):
        message = refused(run, data).message
        assert message.endswith(".")
        assert len(message) > 30


@pytest.mark.parametrize("hostile", FILES, ids=lambda hostile: hostile.name)
def test_hostile_files_get_what_they_deserve(run: Converter, hostile: Hostile) -> None:
    code = error = None
    try:
        run(hostile.make(), hostile.file_name, limits=hostile.limits)
    except TableError as caught:
        code, error = caught.code, caught
    assert code in hostile.codes
    if error is not None:
        assert error.message.endswith(".")
        assert (error.code == ErrorCode.LIMIT_EXCEEDED) == ("limit" in error.metadata)


@cache
def whole(name: str) -> bytes:
    """Made once: some writers note the time."""
    return WHOLE[name]()


@pytest.mark.parametrize("name", WHOLE)
def test_whole_files_are_read(run: Converter, name: str) -> None:
    assert run(whole(name), name).report.row_count > 0


@pytest.mark.parametrize("name", WHOLE)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_files_never_end_in_anything_untyped(run: Converter, name: str, data: st.DataObject) -> None:
    broken = bytearray(whole(name))
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(broken) - 1))
        match data.draw(st.sampled_from(["set", "cut", "insert"])):
            case "set":
                broken[place] = data.draw(st.integers(0, 255))
            case "cut":
                del broken[place : place + data.draw(st.integers(1, 64))]
            case "insert":
                broken[place:place] = data.draw(st.binary(min_size=1, max_size=8))
        if not broken:
            break
    with contextlib.suppress(TableError):
        run(bytes(broken), name, limits=Limits(max_eager_cells=1_000_000))


@pytest.mark.parametrize("name", [*WHOLE, "t.tsv", "t.txt"])
def test_random_bytes_under_any_name_are_no_table(run: Converter, name: str) -> None:
    for seed in range(5):
        assert refused(run, random.Random(seed).randbytes(20_000), name).code == ErrorCode.FILE_FORMAT_UNSUPPORTED
