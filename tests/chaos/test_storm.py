"""Many files while everything goes wrong around the workers: none is lost, each is milled with effect once.

TABLEMILL_CHAOS_SEED repeats a storm, as far as timing allows; TABLEMILL_CHAOS_S says how long it rages.
"""

import asyncio
import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from tablemill.client import TablemillClient
from tablemill.v1 import job_pb2
from tests.chaos.conftest import OwnServers
from tests.chaos.following import PATIENT, Followed, upload, write_csv
from tests.chaos.history import check_history
from tests.chaos.mill import Mill
from tests.chaos.storm import Storm

_ROWS = (1, 40, 3_000, 120_000)
_UNFINISHED = 8
_AFTERMATH_S = 240.0


class Senders:
    """Hand over files until told to stop, no more than some unfinished at a time, and follow all of them."""

    def __init__(self, client: TablemillClient, directory: Path, seed: int) -> None:
        self._client = client
        self._directory = directory
        self._chance = random.Random(seed)
        self._room = asyncio.Semaphore(_UNFINISHED)
        self._following: set[asyncio.Task[None]] = set()
        self.files: list[Followed] = []
        self.retries = 0
        for rows in _ROWS:
            write_csv(directory / f"{rows}.csv", rows)

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            await self._room.acquire()
            sending = asyncio.create_task(self._send(self._chance.choice(_ROWS)))
            self._following.add(sending)

    async def all_succeeded(self) -> None:
        """Wait until every file that was begun is at its end, and try failed jobs again until there are none."""
        await asyncio.gather(*self._following)
        while failed := [file for file in self.files if file.states[-1].state == job_pb2.JOB_STATE_FAILED]:
            for file in failed:
                await self._retry(file)

    async def _send(self, rows: int) -> None:
        file = await upload(self._client, self._directory, rows)
        self.files.append(file)
        await file.to_the_end(self._client)
        self._room.release()

    async def _retry(self, file: Followed) -> None:
        """A job whose workers died three times counts as poison: that is told, and an operator may try it again."""
        assert file.states[-1].error.reason == "WORKER_LOST", file.states[-1]
        details = await self._client.get_job_details(file.job_id)
        lost = [one for one in details.failed_attempts if one.outcome == job_pb2.ATTEMPT_OUTCOME_LOST]
        assert len(lost) >= 3, details
        self.retries += 1
        await self._client.operations.retry(file.job_id)
        await file.to_the_end(self._client)


@pytest.mark.slow
async def test_storm(own_servers: OwnServers, mill_on_own_servers: Mill, tmp_path: Path) -> None:
    seed = int(os.environ.get("TABLEMILL_CHAOS_SEED") or time.time_ns() % 1_000_000)
    rages_s = float(os.environ.get("TABLEMILL_CHAOS_S") or 180)
    print(f"TABLEMILL_CHAOS_SEED={seed}", flush=True)
    mill = mill_on_own_servers
    async with (
        TablemillClient(mill.address, retry=PATIENT) as client,
        Storm(mill, own_servers.postgres, own_servers.gcs, seed) as storm,
    ):
        senders = Senders(client, tmp_path, seed)
        sending = asyncio.create_task(senders.run())
        await storm.rage(rages_s)
        sending.cancel()
        await storm.calm()
        async with asyncio.timeout(_AFTERMATH_S):
            await senders.all_succeeded()
        for file in senders.files:
            await file.check_data(client)
    attempts = Counter(file.states[-1].attempt for file in senders.files)
    print(f"{len(senders.files)} files, attempts {sorted(attempts.items())}, {senders.retries} retries by hand")
    print(dict(storm.happened))
    assert mill.ingest.alive
    await _check_what_is_left(mill, senders)


async def _check_what_is_left(mill: Mill, senders: Senders) -> None:
    rows = await mill.rows("SELECT state, count(*) AS jobs FROM jobs GROUP BY state")
    assert rows == [{"state": "succeeded", "jobs": len(senders.files)}]
    await mill.sweep()
    assert await mill.stored_objects() == await mill.named_objects()
    await check_history(mill)
