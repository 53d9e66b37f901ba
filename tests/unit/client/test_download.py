"""Downloads: resumption, checking, and what is left on disk."""

import random
from pathlib import Path

import pytest

from tablemill.client import TablemillClient
from tablemill.errors import DamagedFileError, UnavailableError
from tablemill.v1.data_service_pb2 import FILE_KIND_CLEAN
from tests.unit.client.conftest import IMPATIENT
from tests.unit.client.fake import FakeServer

CONTENT = random.Random(2).randbytes(100_500)


@pytest.fixture(autouse=True)
def served(fake: FakeServer) -> None:
    fake.data.content = CONTENT


async def test_a_file_arrives_whole_and_is_described(client: TablemillClient, tmp_path: Path) -> None:
    reports: list[tuple[int, int]] = []
    target = tmp_path / "out.parquet"
    result = await client.download("r", FILE_KIND_CLEAN, target, on_progress=lambda *done: reports.append(done))
    assert target.read_bytes() == CONTENT
    assert (result.path, result.size_bytes, result.media_type) == (target, len(CONTENT), "test/x")
    assert reports[-1] == (len(CONTENT), len(CONTENT))
    assert list(tmp_path.iterdir()) == [target]


async def test_an_empty_file_arrives(client: TablemillClient, fake: FakeServer, tmp_path: Path) -> None:
    fake.data.content = b""
    await client.download("r", FILE_KIND_CLEAN, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b""


async def test_a_broken_download_resumes_at_the_first_byte_missing(
    client: TablemillClient, fake: FakeServer, tmp_path: Path
) -> None:
    fake.data.breaks_at = [20_000, 50_000]
    await client.download("r", FILE_KIND_CLEAN, tmp_path / "out")
    assert fake.data.offsets == [0, 20_000, 50_000]
    assert (tmp_path / "out").read_bytes() == CONTENT


async def test_damaged_bytes_never_appear_under_the_name(
    client: TablemillClient, fake: FakeServer, tmp_path: Path
) -> None:
    fake.data.crc32c = 1
    target = tmp_path / "out"
    target.write_bytes(b"before")
    with pytest.raises(DamagedFileError, match="download it again"):
        await client.download("r", FILE_KIND_CLEAN, target)
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]


async def test_giving_up_leaves_nothing_behind(client: TablemillClient, fake: FakeServer, tmp_path: Path) -> None:
    fake.data.breaks_at = [0] * 100
    with pytest.raises(UnavailableError):
        await client.download("r", FILE_KIND_CLEAN, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    assert len(fake.data.offsets) == IMPATIENT.attempts


@pytest.mark.parametrize(
    ("served_name", "kept_name"),
    [
        ("病例.parquet", "病例.parquet"),
        ("../../etc/passwd", "passwd"),
        ("..\\x\\evil.exe", "evil.exe"),
        ("..", "record-7"),
        ("/", "record-7"),
        (".bashrc", "bashrc"),
        ("a\x00b\n.csv", "ab.csv"),
    ],
)
async def test_the_name_given_by_the_server_never_leaves_the_directory(
    client: TablemillClient, fake: FakeServer, tmp_path: Path, served_name: str, kept_name: str
) -> None:
    fake.data.file_name = served_name
    result = await client.download("record-7", FILE_KIND_CLEAN, tmp_path)
    assert result.path == tmp_path / kept_name
    assert result.path.read_bytes() == CONTENT


async def test_in_a_directory_nothing_is_replaced(client: TablemillClient, fake: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "clean.parquet").write_bytes(b"before")
    with pytest.raises(FileExistsError, match=r"clean\.parquet"):
        await client.download("r", FILE_KIND_CLEAN, tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]
