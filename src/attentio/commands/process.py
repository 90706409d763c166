"""How this process waits for its threads, and what it does with memory that was freed."""

import ctypes
import os
import sys

_SPINS = 30_000  # about as long as the gap between two products: some tens of microseconds
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h
_NEVER = 2**31 - 1


def settle() -> None:
    """Make torch quick on a CPU; to be called before torch is loaded, which is when OpenMP reads its settings.

    Threads that wait for each other spin for a moment and then sleep, which leaves the cores to others that want
    them. Freed memory is kept: by default glibc hands big blocks back to the kernel and gets
    them again a page at a time, at every step of a training.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", str(_SPINS))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):  # glibc; musl has none
            libc.mallopt(_M_MMAP_MAX, 0)
            libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)
