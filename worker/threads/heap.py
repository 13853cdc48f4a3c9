"""Settings of glibc's heap for a process with hundreds of threads."""

import contextlib
import ctypes

# Numbers of options in glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGE_BYTES = 128 * 1024


def keep_small() -> None:
    """Let all threads share one heap, and return large blocks to the system at once. Without glibc, do nothing.

    By default glibc has eight heaps per core, and each keeps the most memory that its threads ever used. Several heaps
    help threads that allocate at the same time, which Python's threads do not, because of the interpreter's lock. The
    two limits are glibc's initial values; once set, glibc no longer raises them.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        for option, value in ((_M_ARENA_MAX, 1), (_M_MMAP_THRESHOLD, _LARGE_BYTES), (_M_TRIM_THRESHOLD, _LARGE_BYTES)):
            libc.mallopt(option, value)
