"""Shows jobs: as a live bar on a terminal, as plain lines elsewhere, as JSON lines on request."""

from collections.abc import AsyncIterator, Iterable

from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tablemill.cli.exits import EXIT_JOB_FAILED, Exits
from tablemill.cli.session import Session, as_json
from tablemill.v1.job_pb2 import JOB_STATE_CANCELLED, JOB_STATE_SUCCEEDED, Attempt, Job, JobState

STATES = {
    name.removeprefix("JOB_STATE_").lower(): number
    for name, number in JobState.items()
    if name != "JOB_STATE_UNSPECIFIED"
}


def state_name(job: Job) -> str:
    """Return the state in lower case; states that this version does not know show as their number."""
    if job.state in JobState.values():
        return JobState.Name(job.state).removeprefix("JOB_STATE_").lower()
    return f"state {job.state}"


def describe(job: Job) -> str:
    """Return where a job stands, in one line."""
    parts = [state_name(job)]
    progress = job.progress
    if not job.done and progress.stage:
        total = f"/{progress.total:,}" if progress.total else ""
        parts.append(f"{progress.stage} {progress.done:,}{total} {progress.unit}")
    if job.attempt > 1:
        parts.append(f"attempt {job.attempt} of {job.max_attempts}")
    if job.HasField("error") and not job.done:
        parts.append(f"last error {job.error.reason}")
    return ", ".join(parts)


def print_job(session: Session, job: Job, failed_attempts: Iterable[Attempt] = ()) -> None:
    """Print one job in full: where it stands, its attempts that failed and, when it failed, why and what to do."""
    if session.as_json:
        attempts = [as_json(attempt) for attempt in failed_attempts]
        session.print_json(as_json(job) | ({"failed_attempts": attempts} if attempts else {}))
        return
    session.out.print(f"Job {job.job_id}: {describe(job)}", markup=False)
    for attempt in failed_attempts:
        error = attempt.error
        session.out.print(f"  attempt {attempt.attempt}: {error.reason}: {error.message}", markup=False)
    if job.done and job.state != JOB_STATE_SUCCEEDED:
        print_failure(session, job)


def print_failure(session: Session, job: Job) -> None:
    """Print why a job ended without a result, where in the file, and how to go on."""
    error = job.error
    if job.state == JOB_STATE_CANCELLED:
        session.err.print(f"Somebody cancelled it. To try again: tablemill retry {job.job_id}", markup=False)
        return
    session.err.print(f"[red]{escape(error.reason or state_name(job))}:[/] {escape(error.message)}")
    place = [
        f"sheet {error.place.sheet}" if error.place.sheet else "",
        f"row {error.place.row}" if error.place.row else "",
        f"column {error.place.column}" if error.place.column else "",
    ]
    if any(place):
        session.err.print("  Where: " + ", ".join(part for part in place if part), markup=False)
    for key, value in sorted(error.metadata.items()):
        session.err.print(f"  {key}: {value}", markup=False)
    if error.retryable:
        advice = f"The file may be fine. Try again later: tablemill retry {job.job_id}"
    else:
        advice = "Mend the file as said above, then upload it again."
    session.err.print(f"  What to do: {advice}", markup=False)


async def show_watch(session: Session, jobs: AsyncIterator[Job]) -> None:
    """Show jobs as they change; ends the command with 1 when one of them did not succeed."""
    failures = 0
    view = _Bars(session) if session.live else _Lines(session)
    with view:
        async for job in jobs:
            view.show(job)
            if job.done and job.state != JOB_STATE_SUCCEEDED:
                failures += 1
                if not session.as_json:
                    print_failure(session, job)
    if failures:
        raise Exits(EXIT_JOB_FAILED)


class _Lines:
    """One line per event: of JSON, or of text whenever the state or the stage changed."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._shown: dict[str, tuple[int, str, int]] = {}

    def __enter__(self) -> None:
        """Nothing is drawn before the first event."""

    def __exit__(self, *_error: object) -> None:
        """Lines need no clearing away."""

    def show(self, job: Job) -> None:
        if self._session.as_json:
            self._session.print_json(job)
            return
        news = (job.state, job.progress.stage, job.attempt)
        if self._shown.get(job.job_id) != news:
            self._shown[job.job_id] = news
            self._session.out.print(f"Job {job.job_id}: {describe(job)}", markup=False)
        if job.done:
            del self._shown[job.job_id]


class _Bars:
    """One bar per job that is not done."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
            console=session.err,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> None:
        self._progress.start()

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()

    def show(self, job: Job) -> None:
        if job.job_id not in self._tasks:
            self._tasks[job.job_id] = self._progress.add_task("", total=None)
        # A bar without a total pulses.
        task = self._tasks[job.job_id]
        self._progress.update(
            task, description=describe(job), total=job.progress.total or None, completed=job.progress.done
        )
        if job.done:
            self._progress.remove_task(task)
            del self._tasks[job.job_id]
            self._session.out.print(f"Job {job.job_id}: {describe(job)}", markup=False)
