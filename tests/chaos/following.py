"""Files that are handed over, and their jobs followed to the end by the client library."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from tablemill.client import TablemillClient
from tablemill.retrying import RetryPolicy
from tablemill.v1 import job_pb2

PATIENT = RetryPolicy(attempts=1000, first_delay_s=0.1, longest_delay_s=1.0)


def write_csv(path: Path, rows: int) -> Path:
    """Write a file of so many rows; a cell too many in the first of them makes rejects."""
    lines = [f"{number:06},{number}.5,文字{number}" for number in range(rows)]
    lines[0] += ",多余"
    path.write_text("\n".join(["编号,值,说明", *lines, ""]))
    return path


@dataclass
class Followed:
    """An acknowledged file, and every state of its job that was told."""

    record_id: str
    job_id: str
    rows: int
    states: list[job_pb2.Job] = field(default_factory=list)

    async def to_the_end(self, client: TablemillClient) -> None:
        """Take note of all states until the last."""
        async for job in client.watch([self.job_id], heartbeat_s=5):
            self.states.append(job)

    async def until_stage(self, stage: str) -> None:
        """Wait until the job is told to be at a stage, while something else follows it."""
        while not any(job.progress.stage == stage for job in self.states):
            await asyncio.sleep(0.02)

    async def check(self, client: TablemillClient, *, attempts: int) -> None:
        """Check that the job succeeded in so many attempts, and its data."""
        last = self.states[-1]
        assert last.state == job_pb2.JOB_STATE_SUCCEEDED, last
        details = await client.get_job_details(self.job_id)
        assert (last.attempt, len(details.failed_attempts)) == (attempts, attempts - 1), details
        await self.check_data(client)

    async def check_data(self, client: TablemillClient) -> None:
        """Check that the data was published exactly once and has all rows."""
        record = await client.get_record(self.record_id)
        assert (record.revision, record.row_count) == (1, self.rows)
        preview = await client.preview(self.record_id, row_offset=self.rows - 1)
        assert [row.cells[0].text for row in preview.rows] == [f"{self.rows - 1:06}"]


async def upload(client: TablemillClient, directory: Path, rows: int = 3) -> Followed:
    """Hand over a file of so many rows, written to `directory`."""
    path = directory / f"{rows}.csv"
    if not path.exists():
        write_csv(path, rows)
    stored = await client.upload(path)
    return Followed(stored.record_id, stored.job_id, rows)
