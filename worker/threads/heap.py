"""Settings of the C library's heap for a process of hundreds of threads."""

import contextlib
import ctypes

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGE = 128 * 1024


def keep_small() -> None:
    """Let all threads share one heap, and give back at once what is large; elsewhere than on glibc nothing happens.

    By itself glibc has eight heaps a core, and each keeps what any of its threads once needed for a moment. They would
    serve threads that allocate at the same time, which those of an interpreter with one lock do not. The limits are
    glibc's own first ones; set, they no longer rise with what was freed.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        for option, value in ((_M_ARENA_MAX, 1), (_M_MMAP_THRESHOLD, _LARGE), (_M_TRIM_THRESHOLD, _LARGE)):
            libc.mallopt(option, value)
