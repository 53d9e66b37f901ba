"""The commit of an upload: its row is closed, its record and its job are there, or nothing of it."""

import psycopg

from shared.database import Pool
from shared.jobs.model import NewJob
from shared.jobs.notify import Notifier
from shared.jobs.queue import JobQueue
from shared.records.model import NewRecord
from shared.records.records import insert_record
from shared.records.uploads import Upload, Uploads, UploadState
from shared.storage import ObjectInfo

INGEST_QUEUE = "ingest"


class Committer:
    """Commits uploads whose file is stored."""

    def __init__(
        self, pool: Pool, uploads: Uploads, jobs: JobQueue, notifier: Notifier, *, job_max_attempts: int
    ) -> None:
        self._pool = pool
        self._uploads = uploads
        self._jobs = jobs
        self._notifier = notifier
        self._job_max_attempts = job_max_attempts

    async def commit(self, upload: Upload, raw: ObjectInfo) -> None:
        """Close `upload` with a record of `raw` and a job for it. Raises EpochLost."""
        try:
            async with self._pool.connection() as connection, connection.transaction():
                await self._uploads.complete(connection, upload, raw.size_bytes, raw.crc32c)
                await insert_record(connection, _record(upload, raw))
                await self._jobs.enqueue(connection, self._job(upload, raw))
        except psycopg.OperationalError:
            # The connection may have died after the commit: only the row knows.
            after = await self._uploads.read(upload.owner, upload.request_id)
            if after is None or after.state is not UploadState.COMMITTED or after.epoch != upload.epoch:
                raise
        self._notifier.ready([INGEST_QUEUE])
        self._notifier.changed([upload.job_id])

    def _job(self, upload: Upload, raw: ObjectInfo) -> NewJob:
        args = {
            "file_name": upload.file_name,
            "raw_object": raw.name,
            "raw_size_bytes": raw.size_bytes,
            "options": dict(upload.options),
        }
        return NewJob(upload.job_id, upload.owner, INGEST_QUEUE, upload.record_id, args, self._job_max_attempts)


def _record(upload: Upload, raw: ObjectInfo) -> NewRecord:
    return NewRecord(
        record_id=upload.record_id,
        owner=upload.owner,
        file_name=upload.file_name,
        labels=upload.labels,
        raw_object=raw.name,
        raw_size_bytes=raw.size_bytes,
        raw_crc32c=raw.crc32c,
        ttl_s=upload.ttl_s,
    )
