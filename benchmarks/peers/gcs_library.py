"""Uploads by google-cloud-storage itself, as its documentation shows them. All calls block."""

import io
from uuid import uuid4

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

_WRITE_BYTES = 256 << 10


def bucket(url: str, name: str) -> storage.Bucket:
    """Return a bucket of an emulator at `url`."""
    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
    client = storage.Client(project="bench", credentials=credentials, client_options={"api_endpoint": url})
    return client.bucket(name)


def upload(to: storage.Bucket, block: bytes, size_bytes: int) -> None:
    """Upload `size_bytes` as one object from something that can be read again, as from a file."""
    to.blob(uuid4().hex).upload_from_file(_Repeated(block, size_bytes), size=size_bytes)


def write(to: storage.Bucket, block: bytes, size_bytes: int) -> None:
    """Write `size_bytes` through the streaming writer, as they would come from a client."""
    with to.blob(uuid4().hex).open("wb") as writer:
        for offset in range(0, size_bytes, _WRITE_BYTES):
            start = offset % len(block)
            writer.write(block[start : start + min(_WRITE_BYTES, size_bytes - offset)])


class _Repeated(io.RawIOBase):
    """A file that holds `block` again and again."""

    def __init__(self, block: bytes, size_bytes: int) -> None:
        self._block = block
        self._size_bytes = size_bytes
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size_bytes}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        left_bytes = self._size_bytes - self._at
        wanted_bytes = left_bytes if size < 0 else min(size, left_bytes)
        pieces = []
        while wanted_bytes:
            start = self._at % len(self._block)
            pieces.append(self._block[start : start + wanted_bytes])
            self._at += len(pieces[-1])
            wanted_bytes -= len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
