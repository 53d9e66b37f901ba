"""Tell the C allocator to keep the memory of messages for the next ones, and Python to look for cycles rarely.

By default glibc maps every block of 128 KiB and more anew and unmaps it when it is freed. Messages and segments are
such blocks: the kernel would clear each of their pages for every one of them, which costs more than all else that
is done with the bytes.
"""

import ctypes
import gc

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


def collect_rarely() -> None:
    """Have Python look for reference cycles rarely, and never in what was made before this.

    A stream is some dozens of objects that live long. With the usual thresholds a message to each of thousands of
    streams sets off searches through all of them.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
