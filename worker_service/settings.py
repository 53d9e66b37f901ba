"""Settings of the worker service."""

import tempfile
from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator

from shared.settings import ServiceSettings


class WorkerSettings(ServiceSettings):
    """Settings from environment variables named TABLEMILL_<FIELD>."""

    listen: str = Field(
        "127.0.0.1:50052",
        description="HOST:PORT to serve WorkerService, health and reflection at; port 0 takes any free one",
    )
    concurrency: int = Field(2, description="Conversions at once on this process at most", ge=1, le=256)
    lease_s: float = Field(
        15.0, description="Seconds without a heartbeat after which a job goes to another worker", gt=0
    )
    heartbeat_s: float = Field(5.0, description="Seconds between heartbeats, at most half of the lease", gt=0)
    progress_every_s: float = Field(0.25, description="Least seconds between two writes of progress", gt=0)
    poll_s: float = Field(
        10.0,
        description="Seconds between looks at the queue while wake-ups arrive; without them it looks every 2",
        gt=0,
    )
    scratch_dir: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()) / "tablemill-scratch",
        description="Directory for files in work; below it every process uses a folder of its own",
    )
    conversion_memory_bytes: int = Field(
        2 << 30, description="Private memory that one conversion may hold at most (RLIMIT_DATA)", ge=256 << 20
    )
    max_rows: int = Field(10_000_000, description="Rows of a table at most", gt=0)
    max_columns: int = Field(4_096, description="Columns of a table at most", gt=0)
    max_cells: int = Field(2_000_000_000, description="Cells of a table at most", gt=0)
    max_cell_chars: int = Field(
        1_000_000, description="Characters of a cell at most; a longer one goes to the rejects, whole", gt=0
    )
    max_eager_cells: int = Field(
        20_000_000,
        description="Cells of a sheet that is loaded at once; larger xlsx sheets are streamed, others refused",
        gt=0,
    )
    max_uncompressed_bytes: int = Field(
        4 << 30, description="Bytes that a packed file, or all parts of a workbook, may inflate to", gt=0
    )
    max_inflation: int = Field(
        200, description="Times its size that a packed file or workbook may inflate to, once that is over 64 MiB", gt=0
    )
    sweep_every_s: float = Field(
        3600.0, description="Seconds between two sweeps of what is over, by whichever worker comes first", gt=0
    )
    orphan_grace_s: float = Field(
        86_400.0, description="Seconds after which an object that no row names is removed", gt=0
    )
    job_retention_s: float = Field(
        30 * 86_400.0, description="Seconds that an ended job stays, unless it is the newest of its record", gt=0
    )
    conversion_timeout_s: float = Field(
        1800.0, description="Seconds that one attempt at a conversion may take, transfers included", gt=0
    )

    @field_validator("heartbeat_s")
    @classmethod
    def _beats_twice_a_lease(cls, heartbeat_s: float, info: ValidationInfo) -> float:
        lease_s = info.data.get("lease_s")
        if lease_s is not None and heartbeat_s > lease_s / 2:
            raise ValueError("must be at most half of lease_s")
        return heartbeat_s
