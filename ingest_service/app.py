"""The parts of the ingest service, put together."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ingest_service.action_servicer import ActionServicer
from ingest_service.changing import Changer
from ingest_service.data_servicer import DataServicer
from ingest_service.exporting import Exporter, ExportLimits
from ingest_service.ingest_servicer import IngestServicer
from ingest_service.ops_servicer import OpsServicer
from ingest_service.reads.cache import ReadCache
from ingest_service.reads.clean_file import CleanFiles
from ingest_service.reads.preview import Previews
from ingest_service.reads.streams import ReadStreams
from ingest_service.settings import IngestSettings
from ingest_service.stored_files import StoredFiles
from ingest_service.upload.admission import Admission
from ingest_service.upload.commit import Committer
from ingest_service.upload.receiver import UploadLimits, UploadReceiver
from ingest_service.watch.hub import WatchHub
from shared.database import make_pool
from shared.jobs.notify import CHANGED_CHANNEL, Listener, Notifier
from shared.jobs.operations import Operations
from shared.jobs.queue import JobQueue
from shared.records.changes import Changes
from shared.records.exports import Exports
from shared.records.records import Records
from shared.records.uploads import Uploads
from shared.rpc.health import BackendHealth
from shared.rpc.server import RpcServer, Service
from shared.storage import open_store
from tablemill.v1 import action_service_pb2_grpc, data_service_pb2_grpc, ingest_service_pb2_grpc, ops_service_pb2_grpc

_NAME = "tablemill-ingest"
_DECODER_THREADS = 4
_STOP_GRACE_S = 2.0


@dataclass(frozen=True)
class IngestApp:
    """A serving ingest service. Its owner runs `background` beside it and awaits `drain()` before it leaves."""

    server: RpcServer
    background: list[Coroutine[Any, Any, None]]
    receiver: UploadReceiver
    hub: WatchHub
    streams: ReadStreams
    drain_grace_s: float

    async def drain(self) -> None:
        """Stop taking calls: tell watchers to go elsewhere, let open uploads and reads finish, then stop the server."""
        await self.server.say_not_serving()
        await self.hub.drain()
        # From here on connections take no more calls, so that whoever was told to go elsewhere gets there.
        grace_s = self.drain_grace_s
        closing = asyncio.create_task(self.server.stop(grace_s + _STOP_GRACE_S))
        await asyncio.gather(self.receiver.drain(grace_s), self.streams.drain(grace_s))
        await self.server.stop(_STOP_GRACE_S)
        await closing


@contextlib.asynccontextmanager
async def serving(settings: IngestSettings) -> AsyncIterator[IngestApp]:
    """Give a service that has begun to serve; release all it holds at the end."""
    async with contextlib.AsyncExitStack() as held:
        store = open_store(settings.store_url, emulator_url=settings.storage_emulator_host)
        held.push_async_callback(store.close)
        decoders = ThreadPoolExecutor(_DECODER_THREADS, thread_name_prefix="decoder")
        held.callback(decoders.shutdown, wait=False, cancel_futures=True)
        pool = await held.enter_async_context(
            make_pool(settings.database_url, _NAME, max_size=settings.database_pool_size)
        )
        notifier = Notifier(settings.database_url, _NAME)
        jobs, records = JobQueue(pool), Records(pool)
        uploads = Uploads(pool, idle_ttl_s=settings.upload_ttl_s)
        receiver = UploadReceiver(
            store,
            uploads,
            Committer(pool, uploads, jobs, notifier, job_max_attempts=settings.job_max_attempts),
            Admission(max_uploads=settings.max_uploads, max_uploads_per_owner=settings.max_uploads_per_owner),
            UploadLimits(settings.max_file_bytes, settings.upload_idle_s, settings.upload_min_bytes_per_s),
        )
        cache = ReadCache(max_bytes=settings.read_cache_bytes)
        files = CleanFiles(store, decoders, cache)
        streams = ReadStreams(max_streams=settings.max_reads)
        exports = Exports(pool)
        exporter = Exporter(
            pool,
            jobs,
            exports,
            notifier,
            files,
            ExportLimits(settings.export_direct_cells, settings.job_max_attempts, settings.export_ttl_s),
        )
        stored = StoredFiles(records, exports, jobs)
        hub = WatchHub(
            pool,
            poll_s=settings.watch_poll_s,
            max_watches=settings.max_watches,
            max_age_s=settings.stream_max_age_s,
        )
        listener = Listener(settings.database_url, _NAME, [CHANGED_CHANNEL], on_hint=hub.on_hint, on_gap=hub.on_gap)
        changes = Changes(pool)
        changer = Changer(pool, changes, jobs, notifier, job_max_attempts=settings.job_max_attempts)
        operations = OpsServicer(Operations(pool), notifier, attempts=settings.job_max_attempts)
        server = RpcServer(
            settings.listen,
            [
                Service(
                    "tablemill.v1.IngestService",
                    IngestServicer(receiver, hub, uploads, jobs, records),
                    ingest_service_pb2_grpc.add_IngestServiceServicer_to_server,
                ),
                Service(
                    "tablemill.v1.DataService",
                    DataServicer(records, store, stored, files, Previews(files, cache), exporter, streams),
                    data_service_pb2_grpc.add_DataServiceServicer_to_server,
                ),
                Service(
                    "tablemill.v1.ActionService",
                    ActionServicer(records, changes, changer),
                    action_service_pb2_grpc.add_ActionServiceServicer_to_server,
                ),
                Service("tablemill.v1.OpsService", operations, ops_service_pb2_grpc.add_OpsServiceServicer_to_server),
            ],
            connection_age_s=settings.stream_max_age_s,
        )
        await server.start()
        background = [
            notifier.run(),
            listener.run(),
            hub.run(listener.up),
            server.follow_health(BackendHealth(listener, store)),
        ]
        yield IngestApp(server, background, receiver, hub, streams, settings.drain_grace_s)
