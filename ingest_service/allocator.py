"""Tell the C allocator to keep the memory of messages for the next ones.

By default glibc maps every block of 128 KiB and more anew and unmaps it when it is freed. Messages and segments are
such blocks: the kernel would clear each of their pages for every one of them, which costs more than all else that
is done with the bytes.
"""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_LARGEST_KEPT_BYTES = 16 << 20
_KEPT_BYTES = 32 << 20


def keep_freed_blocks() -> None:
    """Reuse blocks below 16 MiB, for all threads; give back to the system what is free beyond 32 MiB.

    Messages come in on one thread and are let go on another: with an arena for each, memory would grow with the bytes
    that went through. Nothing happens without glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_ARENA_MAX, 1)
