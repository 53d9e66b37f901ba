"""The outermost wrapper around every handler: errors become statuses, bugs become an error id, calls are counted.

Three things that grpc.aio would do otherwise: tell the caller the text of any exception, answer UNKNOWN to bytes
that are no message, and leave the caller waiting for ever when an internal task's cancellation leaks out.
"""

from __future__ import annotations  # the stubs give RpcMethodHandler parameters that the class does not take

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import grpc
from google.protobuf.message import DecodeError
from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from shared import telemetry
from shared.errors import InvalidArgument, TablemillError, Unavailable
from shared.rpc.status import code_name, internal_status, to_grpc_status
from shared.storage import StoreError

logger = logging.getLogger(__name__)
_OWN_METHODS = "/tablemill."


class _Malformed:
    """Stands in for a request that could not be decoded, until the guard can answer it."""


class Guard(grpc.aio.ServerInterceptor):
    """Wraps every method of our own services."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Return the handler, wrapped."""
        found = await continuation(handler_call_details)
        method = handler_call_details.method
        if found is None or not method.startswith(_OWN_METHODS):
            return found
        handler: Any = found
        decode, encode = handler.request_deserializer, _encoded(handler.response_serializer)
        name = method.rpartition("/")[2]
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                _guard_stream(name, handler.unary_stream), _lenient(decode), encode
            )
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(
                _guard_call(name, handler.stream_unary), _lenient(decode), encode
            )
        return grpc.unary_unary_rpc_method_handler(_guard_call(name, handler.unary_unary), _lenient(decode), encode)


def _lenient(decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def decode_or_mark(data: bytes) -> Any:
        try:
            return decode(data)
        except DecodeError:
            return _Malformed()

    return decode_or_mark


def _encoded(encode: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """Let handlers answer with bytes where messages would be too many or too large to be made as objects."""
    return lambda response: response if isinstance(response, bytes) else encode(response)


def _checked(request: Any) -> Any:
    if isinstance(request, _Malformed):
        raise InvalidArgument("MESSAGE_MALFORMED", "the bytes received are not a message of this method's type")
    return request


async def _checked_each(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _checked(request)


def _guard_call(name: str, behavior: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    async def call(request: Any, context: Any) -> Any:
        started_s = time.monotonic()
        async with _told_to_caller(name, context):
            streaming = hasattr(request, "__aiter__")
            response = await behavior(_checked_each(request) if streaming else _checked(request), context)
            telemetry.RPC_SECONDS.labels(name).observe(time.monotonic() - started_s)
        return response

    return call


def _guard_stream(name: str, behavior: Callable[[Any, Any], AsyncIterator[Any]]) -> Callable[[Any, Any], Any]:
    async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
        async with _told_to_caller(name, context), contextlib.aclosing(behavior(_checked(request), context)) as parts:  # type: ignore[type-var]
            async for part in parts:
                yield part

    return stream


@contextlib.asynccontextmanager
async def _told_to_caller(name: str, context: Any) -> AsyncIterator[None]:
    try:
        yield
    except GeneratorExit:
        telemetry.RPCS.labels(name, "CANCELLED").inc()
        raise
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            telemetry.RPCS.labels(name, "CANCELLED").inc()
            raise
        await _abort(name, context, Unavailable("BACKEND_UNAVAILABLE", "the work was interrupted; try again"))
    except grpc.aio.AbortError:
        raise
    except Exception as error:  # noqa: BLE001  # the one place where every exception ends
        await _abort(name, context, error)
    else:
        telemetry.RPCS.labels(name, "OK").inc()


async def _abort(name: str, context: Any, error: Exception) -> None:
    known = _as_known(error)
    if known is not None:
        telemetry.RPCS.labels(name, code_name(known)).inc()
        logger.info("call refused", extra=telemetry.facts(method=name, reason=known.reason))
        status = to_grpc_status(known)
    else:
        error_id = uuid4().hex
        telemetry.RPCS.labels(name, "INTERNAL").inc()
        logger.error("call failed", exc_info=error, extra=telemetry.facts(method=name, error_id=error_id))
        status = internal_status(error_id)
    await context.abort(status.code, status.details, status.trailing_metadata)


def _as_known(error: Exception) -> TablemillError | None:
    if isinstance(error, TablemillError):
        return error
    if isinstance(error, OperationalError | PoolTimeout | StoreError):
        backend = "the object store" if isinstance(error, StoreError) else "the database"
        logger.warning("backend away", exc_info=error)
        return Unavailable("BACKEND_UNAVAILABLE", f"{backend} does not answer; try again", retry_after_s=1.0)
    return None
