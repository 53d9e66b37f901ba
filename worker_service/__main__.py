"""`python -m worker_service`: work until a signal, then drain."""

import sys

import uvloop

from shared import telemetry
from shared.lifecycle import announce, run_until_stopped, stop_on_signals
from worker_service.app import serving
from worker_service.handlers import load_job_types
from worker_service.settings import WorkerSettings


async def serve(settings: WorkerSettings) -> int:
    """Work until SIGTERM or SIGINT; return the exit code."""
    job_types = load_job_types()
    metrics = telemetry.serve_metrics(settings.metrics_listen)
    async with serving(settings, job_types) as app:
        stop_on_signals(app.stop)
        announce("worker", app.server.address, metrics[1] if metrics else "")
        return await run_until_stopped(app.background, drain=app.drain, stop=app.stop)


def main() -> int:
    """Read the settings and serve."""
    settings = WorkerSettings.load()
    telemetry.configure_logging(settings.log_level)
    return uvloop.run(serve(settings))


if __name__ == "__main__":
    sys.exit(main())
