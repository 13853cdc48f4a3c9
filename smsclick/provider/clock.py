"""The clock of `not_after`: it also counts the time while the process is paused and while the machine sleeps."""

from __future__ import annotations

import time
from typing import Final

__all__ = ["clock"]


def clock() -> float:
    """Read the clock that `SmsclickClient.send` compares `not_after` with.

    Returns:
        Seconds since an arbitrary start. The clock goes on while the process is paused and, where the system has such
        a clock (Linux), while the machine sleeps.
    """
    return time.clock_gettime(_CLOCK_ID) if _CLOCK_ID is not None else time.monotonic()


_CLOCK_ID: Final = getattr(time, "CLOCK_BOOTTIME", None)
