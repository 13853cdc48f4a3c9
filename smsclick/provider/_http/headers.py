"""What two headers of an answer ask of the client: how long to wait, and how long a connection may be idle."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

_LONGEST_RETRY_AFTER_SECONDS: Final = 86400.0


def retry_after(value: str | None) -> float | None:
    """Return the seconds of `Retry-After`, at most a day; None if it is absent or unreadable.

    Args:
        value: A number of seconds or a date.
    """
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return min(float(value), _LONGEST_RETRY_AFTER_SECONDS)
    try:
        until = parsedate_to_datetime(value)
        if until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        return min(max((until - datetime.now(UTC)).total_seconds(), 0.0), _LONGEST_RETRY_AFTER_SECONDS)
    except (ValueError, OverflowError):
        return None


def idle_seconds(keep_alive: str | None, max_idle: float) -> float:
    """Return how long a connection may be idle before it is used again.

    Args:
        keep_alive: The header `Keep-Alive`. A second less than the server announces is safe.
        max_idle: Seconds that are never exceeded.
    """
    announced = re.search(r"timeout=([0-9]{1,6})", keep_alive) if keep_alive else None
    return min(max_idle, float(announced[1]) - 1) if announced else max_idle
