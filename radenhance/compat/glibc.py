"""What the C library has no Python name for: how large the heap grows.

As blocks are released, glibc raises its limit of what it maps by itself to 32 MiB, and then keeps
released blocks of up to that size on the heap, where they are resident still (mallopt(3)).
"""

import ctypes
import sys

_MIB = 2**20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_heap_small() -> None:
    """Let the C library of Linux give blocks of a mebibyte and more back when they are released."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MIB)
        mallopt(_M_TRIM_THRESHOLD, _MIB)
