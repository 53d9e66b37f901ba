"""Where objects live: Google Cloud Storage or a local directory, behind one protocol."""

from pathlib import Path

from shared.storage.directory import DirectoryStore
from shared.storage.gcs import GcsStore
from shared.storage.store import (
    CannotSign,
    ListedObject,
    ObjectDiffers,
    ObjectInfo,
    ObjectMissing,
    ObjectStore,
    StoreError,
)

__all__ = [
    "CannotSign",
    "ListedObject",
    "ObjectDiffers",
    "ObjectInfo",
    "ObjectMissing",
    "ObjectStore",
    "StoreError",
    "open_store",
]


def open_store(url: str, *, emulator_url: str = "") -> ObjectStore:
    """Return the store at `url`: gs://BUCKET or file:///DIRECTORY (made when it does not exist).

    `emulator_url` is the address of a GCS emulator to use in place of Google's, without credentials.
    """
    if url.startswith("gs://"):
        return GcsStore(url.removeprefix("gs://").rstrip("/"), emulator_url=emulator_url)
    return DirectoryStore(Path(url.removeprefix("file://")))
