"""The parts of the worker service, put together."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from shared.database import make_pool
from shared.jobs.notify import Notifier
from shared.records.expiry import Expiry
from shared.rpc.health import BackendHealth
from shared.rpc.server import RpcServer, Service
from shared.storage import open_store
from tablemill.v1 import worker_service_pb2_grpc
from worker_service.job_type import JobType
from worker_service.sandbox.pool import SandboxPool
from worker_service.scratch import Scratch
from worker_service.settings import WorkerSettings
from worker_service.sweeper import Retention, Sweeper
from worker_service.worker import Worker
from worker_service.worker_servicer import WorkerServicer

_NAME = "tablemill-worker"
_PRELOAD = ("worker_service.conversion", "worker_service.actions.applying")
_SETTLE_S = 1.0
_STOP_GRACE_S = 1.0


@dataclass(frozen=True)
class WorkerApp:
    """A worker that is about to work.

    Its owner runs `background` beside it until `stop` is set, and awaits `drain()` before it leaves.
    """

    server: RpcServer
    background: list[Coroutine[Any, Any, None]]
    worker: Worker
    notifier: Notifier
    stop: asyncio.Event

    async def drain(self) -> None:
        """Claim no more, end or give back what runs, say so, and stop the server."""
        await self.server.say_not_serving()
        await self.worker.drain()
        await self.notifier.settle(_SETTLE_S)
        await self.server.stop(_STOP_GRACE_S)


@contextlib.asynccontextmanager
async def serving(settings: WorkerSettings, job_types: Mapping[str, JobType]) -> AsyncIterator[WorkerApp]:
    """Give a worker whose server has begun to serve; release all it holds at the end."""
    async with contextlib.AsyncExitStack() as held:
        store = open_store(settings.store_url, emulator_url=settings.storage_emulator_host)
        held.push_async_callback(store.close)
        scratch = Scratch(settings.scratch_dir)
        held.callback(scratch.close)
        pool = await held.enter_async_context(
            make_pool(settings.database_url, _NAME, max_size=settings.database_pool_size)
        )
        notifier = Notifier(settings.database_url, _NAME)
        sandbox = SandboxPool(spares=settings.concurrency, preload=_PRELOAD)
        worker = Worker(pool, notifier, store, sandbox, scratch, job_types, settings)
        retention = Retention(settings.sweep_every_s, settings.orphan_grace_s, settings.job_retention_s)
        sweeper = Sweeper(Expiry(pool), store, retention)
        stop = asyncio.Event()
        service = Service(
            "tablemill.v1.WorkerService",
            WorkerServicer(worker, stop),
            worker_service_pb2_grpc.add_WorkerServiceServicer_to_server,
        )
        server = RpcServer(settings.listen, [service])
        await server.start()
        background = [
            sandbox.run(),
            notifier.run(),
            server.follow_health(BackendHealth(worker.listener, store)),
            *worker.background(),
            sweeper.run(),
        ]
        yield WorkerApp(server, background, worker, notifier, stop)
