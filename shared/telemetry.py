"""Logs and metrics. Every metric of both services is named and described here.

Logs are JSON lines on stderr. They hold ids, sizes, durations and reasons; never cell values, file names,
labels, URLs with passwords or tokens.
"""

import json
import logging
import sys
import time
from wsgiref.simple_server import WSGIServer

from prometheus_client import Counter, Gauge, Histogram, start_http_server

RPCS = Counter("tablemill_rpcs_total", "RPCs ended, by method and status code", ["method", "code"])
RPC_SECONDS = Histogram(
    "tablemill_rpc_seconds",
    "Duration of unary and upload RPCs in seconds, by method",
    ["method"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 3, 10, 60, 600),
)
UPLOAD_BYTES = Counter("tablemill_upload_bytes_total", "Bytes received by UploadFile")
UPLOADS_ACTIVE = Gauge("tablemill_uploads_active", "UploadFile streams open on this process")
READ_STREAMS = Gauge("tablemill_read_streams", "ReadRows, ReadFile and ExportRecord streams open on this process")
WATCH_STREAMS = Gauge("tablemill_watch_streams", "WatchStatus streams open on this process")
WATCH_LATE = Counter("tablemill_watch_late_changes_total", "Changes of watched jobs that a poll found before an event")
LISTENER_UP = Gauge("tablemill_listener_up", "1 while the LISTEN session is proven alive, else 0")
NOTIFICATIONS = Counter("tablemill_notifications_total", "Notifications received, by channel", ["channel"])
JOBS_CLAIMED = Counter("tablemill_jobs_claimed_total", "Attempts begun by this worker, by queue", ["queue"])
JOBS_ENDED = Counter(
    "tablemill_attempts_ended_total",
    "Attempts ended on this worker, by queue and outcome",
    ["queue", "outcome"],
)
JOB_SECONDS = Histogram(
    "tablemill_attempt_seconds",
    "Duration of attempts in seconds, by queue",
    ["queue"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
)
JOBS_RUNNING = Gauge("tablemill_jobs_running", "Attempts running on this worker, by queue", ["queue"])
LEASES_LOST = Counter("tablemill_leases_lost_total", "Leases this worker lost before its attempt ended", ["queue"])
JOBS_RESCUED = Counter("tablemill_jobs_rescued_total", "Jobs this process took back from dead workers")

SWEPT = Counter("tablemill_swept_total", "What the sweeper removed: uploads, records, exports, jobs, orphans", ["kind"])


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure_logging(level: str) -> None:
    """Send logs of at least `level` to stderr as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)


def facts(**values: object) -> dict[str, dict[str, object]]:
    """Return `values` in the form that `extra=` of a logging call takes."""
    return {"facts": values}


def serve_metrics(listen: str) -> tuple[WSGIServer, str] | None:
    """Serve Prometheus metrics at `listen` (HOST:PORT, port 0 for any); return server and address, or None if empty."""
    if not listen:
        return None
    host, _, port = listen.rpartition(":")
    server, _thread = start_http_server(int(port), addr=host)
    return server, f"{host}:{server.server_port}"
