"""Refuse, by its first bytes, what is certainly no table: nobody should upload gigabytes to hear that.

Certain only: text may begin with the letters of a magic number, and what a container holds is for the conversion
to say. Sources: the formats' own specifications, and https://www.garykessler.net/library/file_sigs.html.
"""

from shared.errors import InvalidArgument

SNIFF_BYTES = 512

_FOREIGN = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"%PDF-", "pdf"),
    (b"\x7fELF", "elf"),
    (b"MZ", "exe"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x80\x04\x95", "pickle"),
    (b"\x80\x05\x95", "pickle"),
    (b"ARROW1", "arrow"),
    (b"SQLite format 3\0", "sqlite"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
)
_FIRST_TEXT_BYTE = 9


def check_content(start: bytes) -> None:
    """Raise InvalidArgument when `start`, the first SNIFF_BYTES of a file or all of it, shows an unsupported format."""
    for magic, name in _FOREIGN:
        if start.startswith(magic) and not (magic.isalnum() and _may_be_text(start)):
            raise InvalidArgument(
                "FILE_FORMAT_UNSUPPORTED",
                f"the content is {name}, which holds no table this service reads; "
                "upload .xlsx, .xlsb, .xls, .ods, delimited text, JSON Lines or Parquet",
                {"detected": name},
            )


def _may_be_text(start: bytes) -> bool:
    """A heading may begin with MZ, PAR1 or BZh: then no byte below a tab follows, which in those formats comes soon."""
    return not any(byte < _FIRST_TEXT_BYTE for byte in start)
