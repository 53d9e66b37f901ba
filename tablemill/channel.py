"""How a channel to the services is opened, and the service config that clients in any language may use."""

import json
from typing import Any

import grpc

_RETRY_READS: dict[str, Any] = {
    "maxAttempts": 4,
    "initialBackoff": "0.2s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
_READS = {
    "tablemill.v1.IngestService": ("GetUpload", "GetJob", "GetRecord", "ListRecords"),
    "tablemill.v1.ActionService": ("ApplyActions", "GetDryRun", "ListVersions", "RevertRecord"),
    "tablemill.v1.DataService": ("PreviewRecord", "GetProfile", "CreateDownloadUrl"),
    # These change nothing when they come a second time; RetryJob would be refused.
    "tablemill.v1.OpsService": ("ListQueues", "ListJobs", "PauseQueue", "ResumeQueue", "CancelJob"),
    "tablemill.v1.WorkerService": ("GetWorker", "Drain"),
}
SERVICE_CONFIG = json.dumps(
    {
        "methodConfig": [
            {
                "name": [
                    {"service": service, "method": method} for service, methods in _READS.items() for method in methods
                ],
                "timeout": "30s",
                "retryPolicy": _RETRY_READS,
            }
        ]
    }
)
"""The published service config: unary calls that may be repeated are retried on UNAVAILABLE and end after 30 seconds.

Streams are not in it: no library can resume them. Uploads, watches and downloads resume by themselves here.
"""

_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.service_config", SERVICE_CONFIG),
    # A message holds at most 2 MiB of file or table; profiles and schemas of wide tables fit well below this.
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
]


def open_channel(address: str, *, own_connection: bool = False) -> grpc.aio.Channel:
    """Open a channel to `host:port`.

    Args:
        address: Where a service listens.
        own_connection: True for a connection that no other channel shares. Channels to one address share
            connections otherwise, so a new channel alone would not get rid of a dead one.
    """
    options = [*_OPTIONS, ("grpc.use_local_subchannel_pool", 1)] if own_connection else _OPTIONS
    return grpc.aio.insecure_channel(address, options=options)
