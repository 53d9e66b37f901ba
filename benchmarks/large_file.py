"""A 1 GiB CSV through the pair: does memory stay flat, and how long does it take?

Question: what does a file take that is far larger than memory should be? Objects lie in a directory, since the
emulator keeps them in its own memory; the ingest process is watched during the upload, the worker and its
conversion process during the job.
"""

import time

from benchmarks.harness import Memory, Report, watch_memory
from examples.sample import write_sample_csv
from tablemill.client import TablemillClient
from tests.stack import Stack

_FILE_BYTES = 1 << 30
_MIB = 1 << 20


async def run(out: Report) -> None:
    """Measure one upload and its job."""
    with Stack(durable=True, store="file") as stack:
        path = stack.directory / "large.csv"
        write_sample_csv(path, _FILE_BYTES)
        stack.services.start()
        async with TablemillClient(stack.services.address) as client:
            with watch_memory(stack.services.ingest.pid) as ingest:
                began = time.perf_counter()
                upload = await client.upload(path)
                upload_s = time.perf_counter() - began
            with watch_memory(stack.services.worker.pid) as worker:
                began = time.perf_counter()
                jobs = [job async for job in client.watch([upload.job_id])]
                job_s = time.perf_counter() - began
            if jobs[-1].error.reason:
                raise RuntimeError(jobs[-1].error.message)
            record = await client.get_record(upload.record_id)
            began = time.perf_counter()
            await client.preview(upload.record_id)
            preview_s = time.perf_counter() - began
    _tell(out, "ingest service, upload", upload_s, ingest)
    _tell(out, "worker with its conversion process, job", job_s, worker)
    out.row("preview of 50 rows", seconds=preview_s)
    out.note(f"{_FILE_BYTES:,} bytes became {record.row_count:,} rows x {record.column_count} columns, ")
    out.note(f"{record.clean_size_bytes:,} bytes of Parquet.")
    growth_mib = (ingest.peak_bytes - ingest.samples_bytes[0]) / _MIB
    out.bar("growth of the ingest service", measured=growth_mib, bar=64, unit="MiB")
    out.bar("peak of the worker", measured=worker.peak_bytes / _MIB, bar=1024, unit="MiB")


def _tell(out: Report, subject: str, seconds: float, memory: Memory) -> None:
    curve_mib = [sample / _MIB for sample in memory.samples_bytes]
    out.samples(f"{subject}: rss_mib", curve_mib)
    out.row(
        subject,
        seconds=seconds,
        mib_per_s=_FILE_BYTES / _MIB / seconds,
        rss_at_start_mib=curve_mib[0],
        rss_peak_mib=max(curve_mib),
        rss_at_end_mib=curve_mib[-1],
    )
