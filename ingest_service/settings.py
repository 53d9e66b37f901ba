"""Settings of the ingest service."""

from pydantic import Field

from shared.settings import ServiceSettings


class IngestSettings(ServiceSettings):
    """Settings from environment variables named TABLEMILL_<FIELD>."""

    listen: str = Field("127.0.0.1:50051", description="HOST:PORT to serve gRPC at; port 0 takes any free one")
    max_file_bytes: int = Field(5 << 30, description="Largest file that is taken", gt=0)
    max_uploads: int = Field(64, description="UploadFile streams open at once on this process at most", gt=0)
    max_uploads_per_owner: int = Field(
        32, description="UploadFile streams of one owner open at once on this process at most", gt=0
    )
    max_watches: int = Field(10_000, description="WatchStatus streams open at once on this process at most", gt=0)
    upload_idle_s: float = Field(30.0, description="Seconds without a message after which an upload is cut off", gt=0)
    upload_min_bytes_per_s: float = Field(
        1024.0, description="Bytes a second below which an upload is cut off, over TABLEMILL_UPLOAD_IDLE_S", ge=0
    )
    upload_ttl_s: float = Field(86_400.0, description="Seconds after which an unfinished upload is given up", gt=0)
    job_max_attempts: int = Field(5, description="Attempts a conversion gets before its failure is final", ge=1)
    watch_poll_s: float = Field(10.0, description="Seconds between looks for changes that no event told of", gt=0)
    stream_max_age_s: float = Field(
        3600.0, description="Seconds after which a connection or a watch is ended, so that clients spread anew", ge=1
    )
    max_reads: int = Field(
        64, description="ReadRows, ReadFile and ExportRecord streams open at once on this process at most", gt=0
    )
    read_cache_bytes: int = Field(
        64 << 20, description="Memory for footers and decoded rows of clean data that previews come back to", gt=0
    )
    export_direct_cells: int = Field(
        50_000, description="Cells of the largest table that is exported without a job", ge=0
    )
    export_ttl_s: float = Field(86_400.0, description="Seconds that the file of an export job stays", gt=0)
