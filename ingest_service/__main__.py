"""`python -m ingest_service`: serve until a signal, then drain."""

import asyncio
import sys

import uvloop

from ingest_service.allocator import collect_rarely, keep_freed_blocks
from ingest_service.app import serving
from ingest_service.settings import IngestSettings
from shared import telemetry
from shared.lifecycle import announce, run_until_stopped, stop_on_signals


async def serve(settings: IngestSettings) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    stop = asyncio.Event()
    stop_on_signals(stop)
    metrics = telemetry.serve_metrics(settings.metrics_listen)
    async with serving(settings) as app:
        announce("ingest", app.server.address, metrics[1] if metrics else "")
        return await run_until_stopped(app.background, drain=app.drain, stop=stop)


def main() -> int:
    """Read the settings and serve."""
    settings = IngestSettings.load()
    telemetry.configure_logging(settings.log_level)
    keep_freed_blocks()
    collect_rarely()
    return uvloop.run(serve(settings))


if __name__ == "__main__":
    sys.exit(main())
