"""The commands that bring clean data here as files: download, export, url, read."""

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from datetime import date
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
from google.protobuf.json_format import MessageToDict

from tablemill.cli.jobs import describe
from tablemill.cli.reads import REVISION
from tablemill.cli.session import Session, transfer_bar, with_session
from tablemill.client import TablemillClient
from tablemill.downloading import DownloadResult
from tablemill.reading import RowsRead
from tablemill.v1 import data_service_pb2

if TYPE_CHECKING:
    import pyarrow as pa

_KINDS = {
    "clean": data_service_pb2.FILE_KIND_CLEAN,
    "raw": data_service_pb2.FILE_KIND_RAW,
    "rejects": data_service_pb2.FILE_KIND_REJECTS,
}
_KIND = click.option("--kind", type=click.Choice(list(_KINDS)), default="clean", show_default=True, help="Which file.")
_OUTPUT = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path(),
    help="File to write, or a directory [default: here, under the server's name for it].",
)


@click.command()
@click.argument("record_id")
@_KIND
@_OUTPUT
@REVISION
@with_session
def download(session: Session, record_id: str, kind: str, output: Path, revision: int) -> None:
    """Fetch a file of a record: the clean Parquet, the raw bytes, or the cells that were set aside."""

    async def run(client: TablemillClient) -> None:
        with _progress(session) as report:
            result = await client.download(record_id, _KINDS[kind], output, revision=revision, on_progress=report)
        _print_file(session, result)

    session.run(run)


@click.command()
@click.argument("record_id")
@click.option(
    "-f", "--format", "file_format", type=click.Choice(["xlsx", "csv", "parquet"]), default="xlsx", show_default=True
)
@_OUTPUT
@REVISION
@click.option("--split-sheets", is_flag=True, help="xlsx: go on in another sheet after 1,048,575 rows.")
@click.option("--bom", is_flag=True, help="csv: begin with a byte order mark, for Excel.")
@click.option("--keep-formulas", is_flag=True, help="csv: put no apostrophe before text like =1+1.")
@with_session
def export(
    session: Session,
    record_id: str,
    file_format: str,
    output: Path,
    revision: int,
    split_sheets: bool,
    bom: bool,
    keep_formulas: bool,
) -> None:
    """Save the clean data as a file to open elsewhere. Waits for the job that makes a large one."""

    async def run(client: TablemillClient) -> None:
        with _progress(session) as report:
            result = await client.export(
                record_id,
                file_format,
                output,
                revision=revision,
                split_sheets=split_sheets,
                byte_order_mark=bom,
                keep_formulas=keep_formulas,
                on_job=lambda job: session.err.print(f"Job {job.job_id}: {describe(job)}", markup=False),
                on_progress=report,
            )
        _print_file(session, result)

    session.run(run)


@click.command()
@click.argument("record_id")
@_KIND
@REVISION
@click.option("--ttl-s", type=click.FloatRange(1, 3600), default=900, show_default=True, help="How long it works.")
@with_session
def url(session: Session, record_id: str, kind: str, revision: int, ttl_s: float) -> None:
    """Print a URL that anybody can fetch a file with for a while."""

    async def run(client: TablemillClient) -> None:
        answer = await client.create_download_url(record_id, _KINDS[kind], revision=revision, ttl_s=ttl_s)
        if session.as_json:
            session.print_json(MessageToDict(answer, preserving_proto_field_name=True))
        else:
            session.out.print(answer.url, markup=False, soft_wrap=True)

    session.run(run)


@click.command()
@click.argument("record_id")
@click.option("-f", "--format", "row_format", type=click.Choice(["csv", "arrow", "jsonl"]), default="csv")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File [default: standard output]."
)
@click.option("-n", "--rows", type=click.IntRange(min=1), help="At most so many rows [default: all].")
@click.option("--from", "row_offset", type=click.IntRange(min=0), default=0, help="First row, from 0.")
@click.option("-c", "--column", "columns", multiple=True, help="Only this column; may be repeated.")
@click.option("--filter", "row_filter", default="", help="Only rows for which this is true, such as: age >= 65")
@REVISION
@with_session
def read(  # noqa: PLR0913, PLR0917  # one parameter an option
    session: Session,
    record_id: str,
    row_format: str,
    output: Path | None,
    rows: int | None,
    row_offset: int,
    columns: tuple[str, ...],
    row_filter: str,
    revision: int,
) -> None:
    """Write rows of the clean data as csv, Arrow IPC stream or JSON lines. csv and jsonl need pyarrow."""
    if row_format != "arrow" and not _has_pyarrow():
        raise click.UsageError("csv and jsonl need pyarrow: pip install 'tablemill[arrow]', or use --format arrow")

    async def run(client: TablemillClient) -> None:
        read_rows = client.open_rows(
            record_id,
            columns=columns,
            row_offset=row_offset,
            row_limit=rows or 0,
            row_filter=row_filter,
            revision=revision,
        )
        with _opened(output) as target:
            await _WRITERS["jsonl" if session.as_json else row_format](read_rows, target)

    session.run(run)


COMMANDS = (download, export, read, url)


async def _write_arrow(rows: RowsRead, target: IO[bytes]) -> None:
    async with aclosing(rows.messages()) as messages:
        async for message in messages:
            target.write(message.arrow_ipc)


async def _write_csv(rows: RowsRead, target: IO[bytes]) -> None:
    from pyarrow import csv  # noqa: PLC0415  # only those who read rows need it

    async with aclosing(rows.batches()) as batches:
        first = await anext(batches, None)
        with csv.CSVWriter(target, rows.schema) as writer:
            while first is not None:
                writer.write(first)
                first = await anext(batches, None)


async def _write_json_lines(rows: RowsRead, target: IO[bytes]) -> None:
    async with aclosing(rows.batches()) as batches:
        async for batch in batches:
            for row in _json_rows(batch):
                target.write(json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n")


_WRITERS = {"arrow": _write_arrow, "csv": _write_csv, "jsonl": _write_json_lines}


def _json_rows(batch: "pa.RecordBatch") -> list[dict[str, Any]]:
    columns = [[_json_value(value) for value in column.to_pylist()] for column in batch.columns]
    return [dict(zip(batch.schema.names, values, strict=True)) for values in zip(*columns, strict=True)]


def _json_value(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _has_pyarrow() -> bool:
    try:
        import pyarrow  # noqa: PLC0415, F401
    except ModuleNotFoundError:
        return False
    return True


@contextmanager
def _opened(output: Path | None) -> Iterator[IO[bytes]]:
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with output.open("wb") as file:
            yield file


@contextmanager
def _progress(session: Session) -> Iterator[Callable[[int, int], None]]:
    with transfer_bar(session, "Downloading") as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print_file(session: Session, result: DownloadResult) -> None:
    if session.as_json:
        facts = {"path": str(result.path), "size_bytes": result.size_bytes, "crc32c": result.crc32c}
        session.print_json({**facts, "media_type": result.media_type, "revision": result.revision})
    else:
        version = f", revision {result.revision}" if result.revision else ""
        session.out.print(f"{result.path} ({result.size_bytes:,} bytes, checked{version})", markup=False)
