"""The commands of operators: queues, pause, resume, jobs, cancel, retry; and of one worker: worker, drain."""

from collections.abc import Callable
from contextlib import aclosing
from functools import wraps

import click
from google.protobuf.duration_pb2 import Duration

from tablemill.cli.jobs import STATES, describe, print_job, state_name
from tablemill.cli.session import Session, with_session
from tablemill.cli.tables import ID_LETTERS, local_time, plain, table_of
from tablemill.client import TablemillClient
from tablemill.operations import WorkerClient
from tablemill.v1.job_pb2 import Job
from tablemill.v1.ops_service_pb2 import Queue
from tablemill.v1.worker_service_pb2 import Worker

_MOST_COUNTED = 100_000


@click.command()
@with_session
def queues(session: Session) -> None:
    """Show all queues: how many jobs stand where, how long the next one has been waiting, what is paused."""

    async def run(client: TablemillClient) -> None:
        found = await client.operations.list_queues()
        if session.as_json:
            for queue in found:
                session.print_json(queue)
            return
        table = table_of("QUEUE", "READY", "OLDEST", "LATER", "RUNNING", "DONE 1H", "FAILED 1H", "PAUSED")
        for queue in found:
            table.add_row(*_queue_row(queue))
        session.out.print(table)

    session.run(run)


@click.command()
@click.argument("queue")
@click.option("--reason", default="", help="Why, for those who wonder.")
@with_session
def pause(session: Session, queue: str, reason: str) -> None:
    """Keep workers from claiming jobs of QUEUE. Running jobs go on."""

    async def run(client: TablemillClient) -> None:
        _print_queue(session, await client.operations.pause(queue, reason=reason))

    session.run(run)


@click.command()
@click.argument("queue")
@with_session
def resume(session: Session, queue: str) -> None:
    """Let workers claim jobs of QUEUE again."""

    async def run(client: TablemillClient) -> None:
        _print_queue(session, await client.operations.resume(queue))

    session.run(run)


@click.command()
@click.option("--queue", default="", help="Only jobs of this queue.")
@click.option("--state", "states", multiple=True, type=click.Choice(list(STATES)), help="Only these; may be repeated.")
@click.option("--record", "record_id", default="", help="Only jobs of this record.")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@with_session
def jobs(session: Session, queue: str, states: tuple[str, ...], record_id: str, limit: int) -> None:
    """List jobs, newest first."""

    async def run(client: TablemillClient) -> None:
        found: list[Job] = []
        wanted = [STATES[state] for state in states]
        stream = client.operations.list_jobs(queue=queue, states=wanted, record_id=record_id, page_size=min(limit, 500))
        async with aclosing(stream):
            async for job in stream:
                found.append(job)
                if len(found) == limit:
                    break
        if session.as_json:
            for job in found:
                session.print_json(job)
            return
        table = table_of("JOB", "QUEUE", "STATE", "ATTEMPT", "ERROR", "RECORD", "CREATED")
        table.columns[0].min_width = ID_LETTERS
        for job in found:
            attempts = f"{job.attempt}/{job.max_attempts}"
            reason = plain(job.error.reason)
            table.add_row(
                job.job_id, job.queue, state_name(job), attempts, reason, job.record_id, local_time(job.create_time)
            )
        session.out.print(table)

    session.run(run)


@click.command()
@click.argument("job_id")
@with_session
def cancel(session: Session, job_id: str) -> None:
    """Stop a job. One that runs is stopped by its worker within a second."""

    async def run(client: TablemillClient) -> None:
        job = await client.operations.cancel(job_id)
        if session.as_json:
            session.print_json(job)
        else:
            asked = "" if job.done else ", asked to stop"
            session.out.print(f"Job {job.job_id}: {describe(job)}{asked}", markup=False)

    session.run(run)


@click.command()
@click.argument("job_id")
@with_session
def retry(session: Session, job_id: str) -> None:
    """Give a job that failed or was cancelled a fresh set of attempts."""

    async def run(client: TablemillClient) -> None:
        print_job(session, await client.operations.retry(job_id))

    session.run(run)


def _with_worker(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command its session with a worker, which listens at a port of its own."""

    @click.option(
        "--server",
        default="localhost:50052",
        envvar="TABLEMILL_WORKER",
        show_default=True,
        show_envvar=True,
        help="host:port of the worker.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
    @wraps(command)
    def run(*, server: str, as_json: bool) -> None:
        outer: Session = click.get_current_context().obj
        command(Session(server, as_json=as_json or outer.as_json))

    return run


@click.command()
@_with_worker
def worker(session: Session) -> None:
    """Show what one worker is doing."""

    async def run(client: WorkerClient) -> None:
        _print_worker(session, await client.get_worker())

    session.run_on_worker(run)


@click.command()
@_with_worker
def drain(session: Session) -> None:
    """Make one worker finish or give back what it runs, and exit. Returns at once."""

    async def run(client: WorkerClient) -> None:
        _print_worker(session, await client.drain())

    session.run_on_worker(run)


COMMANDS = (queues, pause, resume, jobs, cancel, retry, worker, drain)


def _print_queue(session: Session, queue: Queue) -> None:
    if session.as_json:
        session.print_json(queue)
        return
    say = session.out.print
    say(f"Queue {queue.queue}: {_count(queue.ready_count)} ready, {_count(queue.running_count)} running", markup=False)
    if queue.HasField("pause_time"):
        say(f"  paused   {local_time(queue.pause_time)} {queue.pause_reason}", markup=False)


def _queue_row(queue: Queue) -> tuple[str, ...]:
    paused = ""
    if queue.HasField("pause_time"):
        paused = f"{local_time(queue.pause_time)} {plain(queue.pause_reason)}"
    counts = (queue.scheduled_count, queue.running_count, queue.succeeded_last_hour_count, queue.failed_last_hour_count)
    waiting = _seconds(queue.oldest_ready_age) if queue.HasField("oldest_ready_age") else ""
    return (queue.queue, _count(queue.ready_count), waiting, *map(_count, counts), paused)


def _count(jobs: int) -> str:
    return f"{jobs:,}+" if jobs >= _MOST_COUNTED else f"{jobs:,}"


def _seconds(duration: Duration) -> str:
    return f"{duration.ToTimedelta().total_seconds():,.1f} s"


def _print_worker(session: Session, shown: Worker) -> None:
    if session.as_json:
        session.print_json(shown)
        return
    say = session.out.print
    state = "draining" if shown.draining else "working"
    say(f"Worker {shown.worker_id} {shown.software_version}: {state}, up {_seconds(shown.uptime)}", markup=False)
    for queue in shown.queues:
        say(f"  queue {queue.queue}: {queue.running_count:,} of {queue.capacity:,} running", markup=False)
    for job in shown.running:
        stage = f", {job.progress.stage}" if job.progress.stage else ""
        say(f"  job {job.job_id}: attempt {job.attempt}, {_seconds(job.running_for)}{stage}", markup=False)
