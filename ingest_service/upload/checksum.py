"""CRC32C of bytes put together from those of their parts, so that no byte is summed twice."""

from functools import lru_cache

_POLYNOMIAL = 0x82F63B78  # of CRC32C, its lowest bit first


def joined(crc32c: int, more_crc32c: int, more_bytes: int) -> int:
    """Return the CRC32C of bytes with `crc32c` followed by `more_bytes` bytes with `more_crc32c`.

    What follows multiplies what came before by x to the power of its bits, modulo the polynomial: the idea is that of
    crc32_combine in zlib.
    """
    return _product(_power_of_x8(more_bytes), crc32c) ^ more_crc32c


def _product(a: int, b: int) -> int:
    product = 0
    while a:
        if a & 0x8000_0000:
            product ^= b
        a = a << 1 & 0xFFFF_FFFF
        b = b >> 1 ^ (_POLYNOMIAL if b & 1 else 0)
    return product


@lru_cache(maxsize=256)
def _power_of_x8(count: int) -> int:
    """Return x to the power of 8 times `count`."""
    power, square = 1 << 31, 1 << 23
    while count:
        if count & 1:
            power = _product(square, power)
        square = _product(square, square)
        count >>= 1
    return power
