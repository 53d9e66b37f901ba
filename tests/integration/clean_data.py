"""Clean data put in place by hand: what a worker would have made of an upload."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from shared.database import make_pool
from shared.jobs.queue import JobQueue
from shared.records.model import CleanData, Origin
from shared.records.records import publish_clean_data
from shared.storage import ObjectStore
from tests.rpc import Calls, upload

_TYPES = {"double": "float64", "date32[day]": "date", "timestamp[us]": "timestamp"}


async def publish(
    calls: Calls,
    database_url: str,
    store: ObjectStore,
    table: pa.Table,
    directory: Path,
    *,
    group_rows: int = 10_000,
    profile: Sequence[Mapping[str, Any]] = (),
    warnings: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Upload something, end its job with `table` as its clean data; return the id of the record."""
    path = directory / f"{uuid4()}.parquet"
    pq.write_table(table, path, row_group_size=group_rows, compression="zstd")
    return await publish_file(calls, database_url, store, path, profile=profile, warnings=warnings)


async def publish_file(
    calls: Calls,
    database_url: str,
    store: ObjectStore,
    path: Path,
    *,
    profile: Sequence[Mapping[str, Any]] = (),
    warnings: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Do the same with the clean Parquet file at `path`."""
    stored = await upload(calls, b"whatever")
    schema, row_count = pq.read_schema(path), pq.read_metadata(path).num_rows
    columns = [
        {"name": field.name, "type": _TYPES.get(str(field.type), str(field.type)), "source_name": "", "null_count": 0}
        for field in schema
    ]
    async with make_pool(database_url, "test", max_size=2) as pool:
        jobs = JobQueue(pool)
        (claimed,) = await jobs.claim("ingest", limit=1, worker_id="w", lease_s=60, timeout_s=60)
        info = await store.put_file(f"clean/{stored.record_id}/{claimed.lease.job_id}-1.parquet", path)
        clean = CleanData("csv", info, None, row_count, columns, profile or [{}] * len(columns), warnings, [])
        async with pool.connection() as connection, connection.transaction():
            await jobs.succeed(connection, claimed.lease)
            await publish_clean_data(connection, "local", UUID(stored.record_id), clean, Origin(claimed.lease.job_id))
    return stored.record_id
