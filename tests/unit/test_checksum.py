"""Checksums of parts put together are those of the whole."""

import google_crc32c
from hypothesis import given
from hypothesis import strategies as st

from ingest_service.upload.checksum import joined


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_the_checksum_of_parts_is_that_of_the_whole(parts: list[bytes]) -> None:
    crc32c = 0
    for part in parts:
        crc32c = joined(crc32c, google_crc32c.value(part), len(part))
    assert crc32c == google_crc32c.value(b"".join(parts))


def test_the_checksum_of_large_parts() -> None:
    zeros, ones = bytes(5 << 20), b"\x01" * ((4 << 20) + 3)
    assert joined(google_crc32c.value(zeros), google_crc32c.value(ones), len(ones)) == google_crc32c.value(zeros + ones)
