"""Google Cloud Storage, through its client library. The library blocks, so calls run on a bounded set of threads."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import quote
from uuid import uuid4

import requests
from google.api_core.exceptions import GoogleAPIError, NotFound, PreconditionFailed, from_http_response
from google.auth.credentials import AnonymousCredentials, Signing
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY

from shared.storage.files import part_name
from shared.storage.store import CannotSign, ListedObject, ObjectDiffers, ObjectInfo, ObjectMissing, StoreError

_PIECE_BYTES = 1 << 20
_RANGE_BYTES = 4 << 20
_FILE_CHUNK_BYTES = 32 << 20
_MAX_COMPOSE_SOURCES = 32  # https://cloud.google.com/storage/docs/composite-objects
_THREADS = 16
_TIMEOUT_S = 60.0
_PAGE = 1000
_LISTED_FIELDS = "items(name,timeCreated),nextPageToken"
_RETRY = DEFAULT_RETRY.with_timeout(20.0)
P = ParamSpec("P")
T = TypeVar("T")


class _Body:
    """A multipart request of metadata and media, sent piece by piece: the library's own would copy the media twice.

    https://cloud.google.com/storage/docs/uploading-objects#uploading-an-object
    """

    def __init__(self, metadata: Mapping[str, str], pieces: Sequence[bytes]) -> None:
        boundary = uuid4().hex
        head = (
            f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json.dumps(metadata)}\r\n"
            f"--{boundary}\r\nContent-Type: application/octet-stream\r\n\r\n"
        )
        self.content_type = f"multipart/related; boundary={boundary}"
        self._pieces = [head.encode(), *pieces, f"\r\n--{boundary}--".encode()]
        self._size_bytes = sum(map(len, self._pieces))

    def __len__(self) -> int:
        return self._size_bytes

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)


class GcsStore:
    """Objects in one bucket. Every write demands that the name is free (if_generation_match=0)."""

    def __init__(self, bucket: str, *, emulator_url: str = "") -> None:
        if emulator_url:
            self._client = storage.Client(
                project="emulator",
                credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
                client_options={"api_endpoint": emulator_url},
            )
        else:
            self._client = storage.Client()
        adapter = requests.adapters.HTTPAdapter(pool_connections=_THREADS, pool_maxsize=_THREADS)
        for scheme in ("https://", "http://"):
            self._client._http.mount(scheme, adapter)  # the documented way to size the pool
        self._bucket = self._client.bucket(bucket)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="gcs")

    async def put(self, name: str, pieces: Sequence[bytes], crc32c: int) -> None:
        """Store the joined `pieces` in one request; the store verifies `crc32c`, and its answer is verified too."""
        checksum = _encode_crc32c(crc32c)
        await self._run(self._put, name, _Body({"name": name, "crc32c": checksum}, pieces), checksum)

    async def put_part(self, base: str, offset_bytes: int, pieces: Sequence[bytes], crc32c: int) -> str:
        """Store the joined `pieces` as an object of its own."""
        name = part_name(base, offset_bytes, sum(map(len, pieces)))
        await self.put(name, pieces, crc32c)
        return name

    async def put_file(self, name: str, path: Path) -> ObjectInfo:
        """Store the file at `path`."""

        def upload() -> ObjectInfo:
            blob = self._bucket.blob(name, chunk_size=_FILE_CHUNK_BYTES)
            try:
                blob.upload_from_filename(
                    str(path), if_generation_match=0, timeout=_TIMEOUT_S, retry=_RETRY, checksum="crc32c"
                )
            except PreconditionFailed:
                raise ObjectDiffers(f"object {name} exists") from None
            return _info(blob)

        return await self._run(upload)

    async def compose(self, parts: Sequence[str], name: str, written_crc32c: int | None) -> ObjectInfo:
        """Store the concatenation of `parts`, by a tree of composites when there are many."""
        del written_crc32c  # the store says what it has

        def compose() -> ObjectInfo:
            level, temporary = list(parts), list[str]()
            try:
                while len(level) > _MAX_COMPOSE_SOURCES:
                    groups, rest = _groups(level)
                    joined = [f"{parts[0]}.part-{uuid4().hex}" for _ in groups]
                    temporary += joined
                    for group, target in zip(groups, joined, strict=True):
                        self._compose_once(group, target)
                    level = joined + rest
                return _info(self._compose_once(level, name))
            finally:
                self._delete(temporary)

        return await self._run(compose)

    async def read(self, name: str, offset: int = 0) -> AsyncIterator[bytes]:
        """Yield the bytes from `offset` on, fetched in ranges."""
        blob = await self._run(self._existing, name)
        while offset < blob.size:
            data = await self.read_range(name, offset, min(_RANGE_BYTES, blob.size - offset))
            for start in range(0, len(data), _PIECE_BYTES):
                yield data[start : start + _PIECE_BYTES]
            offset += len(data)

    async def read_range(self, name: str, offset: int, size_bytes: int) -> bytes:
        """Return those bytes, in one request."""
        data: bytes = await self._run(
            self._bucket.blob(name).download_as_bytes,
            start=offset,
            end=offset + size_bytes - 1,
            raw_download=True,
            checksum=None,
            timeout=_TIMEOUT_S,
            retry=_RETRY,
        )
        return data

    async def get_file(self, name: str, path: Path) -> None:
        """Download the object to `path`; the library verifies its checksum."""

        def download() -> None:
            self._bucket.blob(name).download_to_filename(
                str(path), raw_download=True, checksum="crc32c", timeout=_TIMEOUT_S, retry=_RETRY
            )

        await self._run(download)

    async def sign_url(self, name: str, ttl_s: float, *, media_type: str, file_name: str) -> str:
        """Sign with the service account's key, by V4; the object store is not asked."""
        if not isinstance(self._client._credentials, Signing):
            raise CannotSign("the object store's credentials have no key to sign URLs with")
        url: str = await self._run(
            self._bucket.blob(name).generate_signed_url,
            version="v4",
            expiration=timedelta(seconds=ttl_s),
            response_type=media_type,
            response_disposition=f"attachment; filename*=UTF-8''{quote(file_name, safe='')}",
        )
        return url

    async def delete(self, names: Sequence[str]) -> None:
        """Remove objects."""
        await self._run(self._delete, names)

    async def list_objects(self, prefix: str) -> AsyncIterator[Sequence[ListedObject]]:
        """Yield all objects whose names begin with `prefix`, a page a request."""
        blobs = self._client.list_blobs(
            self._bucket, prefix=prefix, fields=_LISTED_FIELDS, page_size=_PAGE, timeout=_TIMEOUT_S, retry=_RETRY
        )
        pages = blobs.pages
        while page := await self._run(lambda: [*next(pages, ())]):
            yield [ListedObject(blob.name, blob.time_created) for blob in page]

    async def check(self) -> None:
        """List at most one object, which needs no permission beyond what the services use."""
        await self._run(lambda: list(self._client.list_blobs(self._bucket, max_results=1, timeout=5.0, retry=None)))

    async def close(self) -> None:
        """End the threads and connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _existing(self, name: str) -> Any:
        blob = self._bucket.get_blob(name, timeout=_TIMEOUT_S, retry=_RETRY)
        if blob is None:
            raise ObjectMissing(f"no object {name}")
        return blob

    def _put(self, name: str, body: _Body, crc32c: str) -> None:
        try:
            stored = _RETRY(self._put_once)(body)
        except PreconditionFailed:  # an earlier try may have come through although its answer got lost
            blob = self._existing(name)
            stored = blob.crc32c
        if stored != crc32c:
            raise ObjectDiffers(f"object {name} holds other bytes")

    def _put_once(self, body: _Body) -> str:
        response = self._client._http.post(
            f"{self._client.api_endpoint}/upload/storage/v1/b/{self._bucket.name}/o",
            params={"uploadType": "multipart", "ifGenerationMatch": "0"},
            data=body,
            headers={"Content-Type": body.content_type},
            timeout=_TIMEOUT_S,
        )
        if not response.ok:
            raise from_http_response(response)  # type: ignore[no-untyped-call]
        return str(response.json()["crc32c"])

    def _compose_once(self, sources: Sequence[str], name: str) -> Any:
        blob = self._bucket.blob(name)
        try:
            blob.compose(
                [self._bucket.blob(source) for source in sources],
                if_generation_match=0,
                timeout=_TIMEOUT_S,
                retry=_RETRY,
            )
        except PreconditionFailed:
            blob.reload(timeout=_TIMEOUT_S, retry=_RETRY)
        return blob

    def _delete(self, names: Sequence[str]) -> None:
        for name in names:
            try:
                self._bucket.blob(name).delete(timeout=_TIMEOUT_S, retry=_RETRY)
            except NotFound:
                continue

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, lambda: function(*args, **kwargs))
        except NotFound as error:
            raise ObjectMissing("no such object or bucket") from error
        except (GoogleAPIError, GoogleAuthError, requests.RequestException, ConnectionError) as error:
            raise StoreError(f"the object store failed: {type(error).__name__}") from error


def _groups(names: Sequence[str]) -> tuple[list[Sequence[str]], list[str]]:
    """Return groups to join first, and the rest: no more than it takes to come down to what one request joins."""
    groups, start, excess = list[Sequence[str]](), 0, len(names) - _MAX_COMPOSE_SOURCES
    while excess > 0 and start < len(names):
        group = names[start : start + min(_MAX_COMPOSE_SOURCES, excess + 1)]
        groups.append(group)
        start += len(group)
        excess -= len(group) - 1
    return groups, list(names[start:])


def _encode_crc32c(checksum: int) -> str:
    return base64.b64encode(checksum.to_bytes(4, "big")).decode("ascii")


def _info(blob: Any) -> ObjectInfo:
    return ObjectInfo(blob.name, int(blob.size), int.from_bytes(base64.b64decode(blob.crc32c), "big"))
