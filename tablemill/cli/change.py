"""The commands that change clean data: apply, versions, revert."""

import json
import sys
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import click
from google.protobuf.json_format import ParseDict, ParseError

from tablemill.cli.cells import cell_json, cell_text
from tablemill.cli.jobs import show_watch
from tablemill.cli.session import Session, as_json, with_session
from tablemill.cli.tables import local_time, plain, table_of
from tablemill.client import TablemillClient
from tablemill.v1.action_pb2 import Action
from tablemill.v1.action_service_pb2 import GetDryRunResponse, Version

_BASE = click.option(
    "--base",
    "base_revision",
    type=click.IntRange(min=1),
    help="The revision that you have seen: refused when another change came first [default: the current one].",
)


@click.command("apply")
@click.argument("record_id")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@_BASE
@click.option("--dry-run", is_flag=True, help="Show what would become of the rows; change nothing.")
@with_session
def apply_actions(session: Session, record_id: str, file: Path, base_revision: int | None, dry_run: bool) -> None:
    """Change clean data by the actions in FILE, and follow the job; the old version stays.

    FILE (- for standard input) is a JSON list of actions, for example:

    \b
      [{"filter_rows": {"condition": "年龄 >= 65"}},
       {"rename_columns": {"renames": [{"column": "年龄", "new_name": "岁"}]}}]

    docs/actions.md has all of them.
    """
    actions = _read_actions(file)

    async def run(client: TablemillClient) -> None:
        base = base_revision or (await client.get_record(record_id)).revision
        job_id = await client.actions.apply(record_id, base, actions, dry_run=dry_run)
        async with aclosing(client.watch([job_id], on_retry=session.note_retry)) as jobs:
            await show_watch(session, jobs)
        if dry_run:
            _print_dry_run(session, await client.actions.dry_run(job_id), actions)

    session.run(run)


@click.command("versions")
@click.argument("record_id")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most so many.")
@with_session
def list_versions(session: Session, record_id: str, limit: int) -> None:
    """List the versions of a record, newest first, and what made them."""

    async def run(client: TablemillClient) -> None:
        found = []
        async with aclosing(client.actions.versions(record_id, page_size=min(limit, 50))) as stream:
            async for version in stream:
                found.append(version)
                if len(found) == limit:
                    break
        if session.as_json:
            for version in found:
                session.print_json(version)
            return
        table = table_of("REVISION", "ROWS", "COLUMNS", "MADE", "BY")
        for version in found:
            mark = "*" if version.current else ""
            shape = (f"{version.row_count:,}", f"{version.column_count:,}")
            table.add_row(f"{version.revision}{mark}", *shape, local_time(version.create_time), _made_by(version))
        session.out.print(table)

    session.run(run)


@click.command()
@click.argument("record_id")
@click.argument("revision", type=click.IntRange(min=1))
@_BASE
@with_session
def revert(session: Session, record_id: str, revision: int, base_revision: int | None) -> None:
    """Go back to REVISION, by a new version that is equal to it."""

    async def run(client: TablemillClient) -> None:
        base = base_revision or (await client.get_record(record_id)).revision
        version = await client.actions.revert(record_id, base, revision)
        if session.as_json:
            session.print_json(version)
        else:
            session.out.print(f"Revision {version.revision} is equal to revision {revision}.")

    session.run(run)


COMMANDS = (apply_actions, list_versions, revert)


def _read_actions(file: Path) -> list[Action]:
    text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    try:
        found: list[Mapping[str, Any]] = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{file} is no JSON: {error}") from None
    if not isinstance(found, list) or not all(isinstance(action, dict) for action in found):
        raise click.UsageError(f"{file} must hold a JSON list of actions")
    actions = []
    for index, action in enumerate(found):
        try:
            actions.append(ParseDict(dict(action), Action()))
        except ParseError as error:
            raise click.UsageError(f"{file}: actions[{index}]: {error}") from None
    return actions


def _print_dry_run(session: Session, found: GetDryRunResponse, actions: list[Action]) -> None:
    names = [column.name for column in found.columns]
    if session.as_json:
        rows = [dict(zip(names, map(cell_json, row.cells), strict=True)) for row in found.rows]
        session.print_json({"rows_after": list(found.rows_after), "row_count": found.row_count, "rows": rows})
        return
    for index, (action, count) in enumerate(zip(actions, found.rows_after, strict=True)):
        session.out.print(f"  {index + 1}. {action.WhichOneof('kind')}: {count:,} rows", markup=False)
    table = table_of(*names)
    for row in found.rows:
        table.add_row(*(plain(cell_text(cell)) for cell in row.cells))
    session.out.print(table)
    session.err.print(f"{len(found.rows):,} of {found.row_count:,} rows; nothing was changed", markup=False)


def _made_by(version: Version) -> str:
    if not version.base_revision:
        return "the upload"
    if not version.actions:
        return f"going back to {version.base_revision}"
    texts = (json.dumps(as_json(action), ensure_ascii=False) for action in version.actions)
    return plain("; ".join(texts))
