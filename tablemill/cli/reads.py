"""The commands that read records and their clean data: ls, show, preview, profile."""

from contextlib import aclosing

import click
from rich.markup import escape

from tablemill.cli.cells import cell_json, cell_text
from tablemill.cli.column import column_lines
from tablemill.cli.session import Session, with_session
from tablemill.cli.tables import ID_LETTERS, local_time, plain, table_of
from tablemill.client import TablemillClient
from tablemill.v1.record_pb2 import ChoiceOrigin, ColumnProfile, DataType, ReadChoice, Record, RecordState

REVISION = click.option(
    "--revision", type=click.IntRange(min=0), default=0, help="This version instead of the current one."
)


@click.command("ls")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@with_session
def list_records(session: Session, limit: int) -> None:
    """List records, newest first."""

    async def run(client: TablemillClient) -> None:
        records = []
        async with aclosing(client.list_records(page_size=min(limit, 500))) as stream:
            async for record in stream:
                records.append(record)
                if len(records) == limit:
                    break
        if session.as_json:
            for record in records:
                session.print_json(record)
            return
        table = table_of("RECORD", "STATE", "FILE", "ROWS", "COLUMNS", "CREATED")
        table.columns[0].min_width = ID_LETTERS
        for record in records:
            shape = (f"{record.row_count:,}", f"{record.column_count:,}") if record.revision else ("", "")
            table.add_row(
                record.record_id, _state(record), plain(record.file_name), *shape, local_time(record.create_time)
            )
        session.out.print(table)

    session.run(run)


@click.command()
@click.argument("record_id")
@REVISION
@with_session
def show(session: Session, record_id: str, revision: int) -> None:
    """Show a record with its columns and warnings."""

    async def run(client: TablemillClient) -> None:
        record = await client.get_record(record_id, revision=revision)
        print_record(session, record)
        if session.as_json or not record.columns:
            return
        table = table_of("COLUMN", "TYPE", "NULLS", "HEADER IN THE FILE")
        for column in record.columns:
            source = column.source_name if column.source_name != column.name else ""
            table.add_row(plain(column.name), _type(column.type), f"{column.null_count:,}", plain(source))
        session.out.print(table)

    session.run(run)


@click.command()
@click.argument("record_id")
@click.option("-n", "--rows", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many rows.")
@click.option("--from", "row_offset", type=click.IntRange(min=0), default=0, help="First row, from 0.")
@click.option("-c", "--column", "columns", multiple=True, help="Only this column; may be repeated.")
@REVISION
@with_session
def preview(
    session: Session, record_id: str, rows: int, row_offset: int, columns: tuple[str, ...], revision: int
) -> None:
    """Print some rows of the clean data. With --json: one object per row."""

    async def run(client: TablemillClient) -> None:
        page = await client.preview(
            record_id, row_offset=row_offset, row_limit=rows, columns=columns, revision=revision
        )
        names = [column.name for column in page.columns]
        if session.as_json:
            for row in page.rows:
                session.print_json(dict(zip(names, map(cell_json, row.cells), strict=True)))
            return
        fits = len(names) if columns or not session.out.is_terminal else max(1, session.out.width // 14)
        table = table_of(*names[:fits])
        for row in page.rows:
            table.add_row(*(plain(cell_text(cell)) for cell in row.cells[:fits]))
        session.out.print(table)
        last = row_offset + len(page.rows)
        note = f"Rows {row_offset:,} to {last:,} of {page.row_count:,}"
        if fits < len(names):
            note += f", {fits} of {len(names)} columns (choose with --column)"
        session.err.print(note + (", cut at 2 MiB" if page.truncated else ""), markup=False)

    session.run(run)


@click.command()
@click.argument("record_id")
@REVISION
@click.option("-c", "--column", "wanted", multiple=True, help="All that is known of this column; may be repeated.")
@with_session
def profile(session: Session, record_id: str, revision: int, wanted: tuple[str, ...]) -> None:
    """Print what is known of the values of each column. With --json: one object per column.

    With --column: also why it has its type, what became of its cells, samples of them, and how its values spread.
    """

    async def run(client: TablemillClient) -> None:
        table = table_of("COLUMN", "TYPE", "NULLS", "DISTINCT", "MIN", "MAX", "MEAN", "MOST FREQUENT")
        missing = set(wanted)
        async with aclosing(client.profile(record_id, revision=revision)) as columns:
            async for column in columns:
                missing.discard(column.column.name)
                if wanted and column.column.name not in wanted:
                    continue
                if session.as_json:
                    session.print_json(column)
                elif wanted:
                    for line in column_lines(column):
                        session.out.print(line, soft_wrap=True, highlight=False)
                else:
                    table.add_row(*_profile_row(column))
        if missing:
            raise click.UsageError(f"The record has no column named {', '.join(sorted(missing))}.")
        if not session.as_json and not wanted:
            session.out.print(table)

    session.run(run)


COMMANDS = (list_records, show, preview, profile)


def print_record(session: Session, record: Record) -> None:
    """Print a record without its columns: where it stands, its shape, its warnings, why it failed."""
    if session.as_json:
        session.print_json(record)
        return
    say = session.out.print
    say(f"Record {record.record_id}: {_state(record)}")
    say(f"  file     {record.file_name} ({record.size_bytes:,} bytes) {record.format}", markup=False)
    if record.revision:
        shape = f"{record.row_count:,} rows x {record.column_count:,} columns"
        say(f"  clean    {shape}, {record.clean_size_bytes:,} bytes, revision {record.revision}", markup=False)
    for choice in record.reading:
        say(f"  {choice.name:8} {_choice(choice)}", markup=False)
    for key, value in sorted(record.labels.items()):
        say(f"  label    {key}={value}", markup=False)
    say(f"  job      {record.latest_job_id}\n  created  {local_time(record.create_time)}", markup=False)
    if record.HasField("expire_time"):
        say(f"  expires  {local_time(record.expire_time)}", markup=False)
    if record.HasField("error"):
        say(f"  [red]{escape(record.error.reason)}:[/] {escape(record.error.message)}")
    for warning in record.warnings:
        say(f"  [yellow]{escape(warning.code)}[/] ({warning.count:,}): {escape(warning.message)}")


def _choice(choice: ReadChoice) -> str:
    value = repr(choice.value) if len(choice.value) == 1 else choice.value or "none"
    match choice.origin:
        case ChoiceOrigin.CHOICE_ORIGIN_GIVEN:
            return f"{value} (as asked for)"
        case ChoiceOrigin.CHOICE_ORIGIN_DETECTED:
            return f"{value} (detected, {choice.confidence:.0%} sure)"
    return value


def _profile_row(profile: ColumnProfile) -> tuple[str, ...]:
    about = "~" if profile.approximate else ""
    top = ", ".join(f"{item.value} ({item.count:,})" for item in profile.top_values[:3])
    return (
        plain(profile.column.name),
        _type(profile.column.type),
        f"{profile.column.null_count:,}",
        f"{about}{profile.distinct_count:,}",
        plain(profile.min),
        plain(profile.max),
        f"{profile.mean:.6g}" if profile.HasField("mean") else "",
        plain(top),
    )


def _state(record: Record) -> str:
    if record.state in RecordState.values():
        return RecordState.Name(record.state).removeprefix("RECORD_STATE_").lower()
    return f"state {record.state}"


def _type(data_type: DataType.ValueType) -> str:
    if data_type in DataType.values():
        return DataType.Name(data_type).removeprefix("DATA_TYPE_").lower()
    return f"type {data_type}"
