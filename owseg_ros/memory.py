"""Large images without page faults: the C library keeps the memory that was freed."""

from __future__ import annotations

import ctypes

KEEP_BYTES = 256 << 20
"""Freed memory that stays with the process."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_MMAP_THRESHOLD = 32 << 20


def keep_freed_memory() -> bool:
    """Let malloc use memory again instead of giving it back to the kernel.

    By default each array of some megabytes is mapped anew, and every page of it faults when
    it is first touched: for an image of 1920x1080 that takes longer than to copy it.

    Returns:
        Whether the C library can; others than glibc cannot.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD), (_TRIM_THRESHOLD, KEEP_BYTES))
    return all(mallopt(name, value) for name, value in settings)
