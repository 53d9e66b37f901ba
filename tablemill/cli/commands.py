"""The commands that bring files in and follow jobs: upload, watch, status."""

from contextlib import aclosing
from pathlib import Path

import click

from tablemill.cli.exits import EXIT_JOB_FAILED, Exits
from tablemill.cli.jobs import STATES, print_job, show_watch
from tablemill.cli.read_options import with_read_options
from tablemill.cli.reads import print_record
from tablemill.cli.session import Session, transfer_bar, with_session
from tablemill.client import TablemillClient
from tablemill.errors import NotFoundError
from tablemill.uploading import UploadProgress, UploadResult
from tablemill.v1.ingest_service_pb2 import ReadOptions
from tablemill.v1.job_pb2 import JOB_STATE_SUCCEEDED
from tablemill.v1.record_pb2 import RECORD_STATE_FAILED


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--watch", "watch_it", is_flag=True, help="Follow the job until it is done.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label; may be repeated.")
@click.option(
    "--ttl-s", type=float, metavar="SECONDS", help="Keep the record and its files so long [default: for ever]."
)
@with_read_options
@with_session
def upload(
    session: Session,
    file: Path,
    watch_it: bool,
    labels: tuple[str, ...],
    ttl_s: float | None,
    read_options: ReadOptions,
) -> None:
    """Upload FILE: a workbook, delimited text, JSON Lines or Parquet. A broken upload is resumed where it stopped."""
    pairs = dict(_split_label(label) for label in labels)

    async def run(client: TablemillClient) -> None:
        with transfer_bar(session, "Uploading") as bar:
            task = bar.add_task("", total=None)

            def report(progress: UploadProgress) -> None:
                bar.update(task, total=progress.total_bytes, completed=progress.sent_bytes)
                if progress.error is not None:
                    session.note_retry(progress.error)

            result = await client.upload(file, options=read_options, labels=pairs, ttl_s=ttl_s, on_progress=report)
        _print_upload(session, file, result)
        if watch_it:
            async with aclosing(client.watch([result.job_id], on_retry=session.note_retry)) as jobs:
                await show_watch(session, jobs)

    session.run(run)


@click.command()
@click.argument("job_ids", nargs=-1, metavar="[JOB_ID...]")
@click.option(
    "--record", "record_ids", multiple=True, metavar="RECORD_ID", help="All jobs of a record; may be repeated."
)
@click.option("--all", "everything", is_flag=True, help="All of your jobs that have not ended, and those to come.")
@click.option("--queue", "queues", multiple=True, help="With --all: only jobs of these queues; may be repeated.")
@click.option(
    "--state", "states", multiple=True, type=click.Choice(list(STATES)), help="With --all: only jobs in these states."
)
@with_session
def watch(
    session: Session,
    job_ids: tuple[str, ...],
    record_ids: tuple[str, ...],
    everything: bool,
    queues: tuple[str, ...],
    states: tuple[str, ...],
) -> None:
    """Follow jobs until all are done; with --record or --all, until you interrupt it. That does not stop the jobs."""
    if bool(job_ids) + bool(record_ids) + everything != 1:
        raise click.UsageError("say what to watch: JOB_ID..., --record ID, or --all")
    if (queues or states) and not everything:
        raise click.UsageError("--queue and --state go with --all")

    async def run(client: TablemillClient) -> None:
        if job_ids:
            stream = client.watch(job_ids, on_retry=session.note_retry)
        elif record_ids:
            stream = client.watch_records(record_ids, on_retry=session.note_retry)
        else:
            wanted = [STATES[state] for state in states]
            stream = client.watch_all(queues=queues, states=wanted, on_retry=session.note_retry)
        async with aclosing(stream) as jobs:
            await show_watch(session, jobs)

    session.run(run)


@click.command()
@click.argument("id_", metavar="ID")
@with_session
def status(session: Session, id_: str) -> None:
    """Show where a job or a record stands. Exits with 1 when it failed."""

    async def run(client: TablemillClient) -> None:
        try:
            details = await client.get_job_details(id_)
        except NotFoundError:
            record = await client.get_record(id_)
            print_record(session, record)
            failed = record.state == RECORD_STATE_FAILED
        else:
            job = details.job
            print_job(session, job, details.failed_attempts)
            failed = job.done and job.state != JOB_STATE_SUCCEEDED
        if failed:
            raise Exits(EXIT_JOB_FAILED)

    session.run(run)


COMMANDS = (upload, watch, status)


def _split_label(label: str) -> tuple[str, str]:
    key, separator, value = label.partition("=")
    if not separator:
        raise click.BadParameter(f"{label!r} is not of the form KEY=VALUE", param_hint="--label")
    return key, value


def _print_upload(session: Session, file: Path, result: UploadResult) -> None:
    if session.as_json:
        ids = {"record_id": result.record_id, "job_id": result.job_id}
        session.print_json({"upload": {**ids, "size_bytes": result.size_bytes, "crc32c": result.crc32c}})
        return
    session.out.print(f"Uploaded {file.name} ({result.size_bytes:,} bytes)", markup=False)
    session.out.print(f"  record  {result.record_id}\n  job     {result.job_id}", markup=False)
