"""Every polluted file gives the rows that a careful person would read, without any hint."""

import pytest

from worker_service.tables.grid import Irregular
from worker_service.tables.model import Limits, ReadOptions
from worker_service.tables.source import open_source

from .pollution import HEADER, Polluted, single_rows, whole_files
from .support import Converter

MARKDOWN = "| a | b |\n|---|---|\n" + "".join(f"| {row} | x |\n" for row in range(9))


def rows_of(data: bytes, converter: Converter) -> list[list[str]]:
    """All rows of a text file that hold anything, as the reader sees them."""
    converter.runs += 1
    folder = converter.folder / f"run{converter.runs}"
    folder.mkdir()
    path = folder / "source.bin"
    path.write_bytes(data)
    grid = open_source(path, folder, "t.csv", ReadOptions(), Limits(), lambda _: None).grid
    for tolerant in (False, True):
        grid.tolerant = tolerant  # type: ignore[attr-defined]  # every grid of a text file has it
        try:
            batches = [zip(*(column.to_pylist() for column in batch.columns), strict=True) for batch in grid.body(1)]
        except Irregular:
            continue
        return [[cell or "" for cell in row] for batch in batches for row in batch if any(row)]
    raise AssertionError("no reader took it")


def check(polluted: Polluted, converter: Converter) -> None:
    rows = rows_of(polluted.data, converter)
    table = [*([polluted.header] if polluted.header else []), *polluted.rows]
    around = [row for row in rows if row not in table]
    if "preamble" in polluted.name or "footnote" in polluted.name:
        assert all(sum(map(bool, row)) <= 2 for row in around), polluted.name
        rows = [row for row in rows if row in table]
    assert rows == table, polluted.name


@pytest.mark.parametrize("polluted", list(whole_files()), ids=lambda polluted: polluted.name)
def test_polluted_files(run: Converter, polluted: Polluted) -> None:
    check(polluted, run)


def test_files_with_one_polluted_row(run: Converter) -> None:
    for polluted in single_rows([0, 2]):
        check(polluted, run)


@pytest.mark.slow
def test_every_row_and_column_polluted(run: Converter) -> None:
    for polluted in single_rows(list(range(29))):
        check(polluted, run)


@pytest.mark.parametrize("polluted", list(whole_files())[:2], ids=lambda polluted: polluted.name)
def test_the_header_of_polluted_files_is_found(run: Converter, polluted: Polluted) -> None:
    assert [column.source_name for column in run(polluted.data).report.columns] == HEADER


@pytest.mark.parametrize(
    ("text", "delimiter", "width"),
    [
        ("name;wert\n" + "".join(f"a{n};{n},5\n" for n in range(20)), ";", 2),
        ("when\n" + "".join(f"2018-01-{n:02} 10:0{n % 10}:00\n" for n in range(1, 25)), None, 1),
        ("note\n" + "well, it was fine\nno\nhello there, big, world\nok\n" * 6, None, 1),
        ("note\n" + "well it was fine\nno thanks\nhello there big world\nok\n" * 6, None, 1),
        ("n\n" + "".join(f"{n},5\n" for n in range(30)), None, 1),
        ("id\ttext\n" + "".join(f"{n}\tit's a dog's life\n" for n in range(30)), "\t", 2),
        ("id,amount\n" + "".join(f'{n},"1,{n:03}"\n' for n in range(30)), ",", 2),
        ("id,js\n" + "".join(f'{n},"{{""a"":1,""b"":[1;2]}}"\n' for n in range(30)), ",", 2),
        ("id;text\n" + "".join(f"{n};a, b, c\n" for n in range(30)), ";", 2),
        ("编号\t内容\n" + "".join(f"{n}\t患者，无不适,复查,好\n" for n in range(30)), "\t", 2),
        ("x y z\n" + "".join(f"{n}.5 {n * 2} {n * 3}\n" for n in range(30)), " ", 3),
        ("a:b:c\n" + "".join(f"x{n}:y:z\n" for n in range(30)), ":", 3),
        (MARKDOWN, "|", 2),
        ("id,name\n" + "".join(f"{n},'O''Neil, {n}'\n" for n in range(30)), ",", 2),
        ("a|b|c\n" + "x, y|1,5|z\n" * 30, "|", 3),
        ("a;b,c\n1;2,3\n", ";", 2),
        ("a,b,c,d\n" + "1,2\n1,2,3,4\n1,2,3\n1,2,3,4\n" * 10, ",", 4),
        ('"id","name"\n' + "".join(f'"{n}","a \\"b\\", c"\n' for n in range(20)), ",", 2),
        ("id\tname\n" + "".join(f"{n}\t\\N\n" for n in range(20)), "\t", 2),
        ('"a, b"\n' * 20, None, 1),
    ],
)  # fmt: skip
def test_dialects_that_trip_detectors(run: Converter, text: str, delimiter: str | None, width: int) -> None:
    found = run(text).report
    assert (found.delimiter or None, len(found.columns)) == (delimiter, width)


def test_what_is_detected_is_told_with_how_sure_that_is(run: Converter) -> None:
    reading = {choice.name: choice for choice in run("sep=;\na;b\n1;2\n").report.reading}
    assert (reading["delimiter"].value, reading["delimiter"].origin) == (";", "declared")
    reading = {choice.name: choice for choice in run("a;'b'\n1;'2'\n", delimiter=";", quote="'").report.reading}
    assert (reading["quote"].value, reading["quote"].origin, reading["quote"].confidence) == ("'", "given", 1.0)
    reading = {choice.name: choice for choice in run("a,b\n1,2\n").report.reading}
    assert reading["delimiter"].origin == "detected"
    assert 0.5 <= reading["delimiter"].confidence < 1
