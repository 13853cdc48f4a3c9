"""Limit log lines about a lasting problem: the first at once, then one a minute for each cause."""

import threading
import time
from collections.abc import Callable

from smsclick._logs.event_log import EventLog

_INTERVAL_SECONDS = 60.0
_CAUSES_KEPT = 200


class LimitedLog:
    """Warnings of a logger; the same event with the same error and fields is logged at most once a minute.

    Args:
        log: the logger.
        clock: monotonic, in seconds.
    """

    def __init__(self, log: EventLog, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._logged: dict[tuple[object, ...], tuple[float, int]] = {}

    def warning(self, event: str, error: object, **fields: object) -> None:
        """Log a warning about an error whose text may be logged; with `left_out`, how many were not logged before it.

        Args:
            event: its constant name.
            error: one of ours (`SmsclickError`): its text has no phone, no message text and no driver's text.
            **fields: of the event.
        """
        now = self._clock()
        key = (event, str(error), *sorted(fields.items()))
        with self._lock:
            logged_at, left_out = self._logged.get(key, (float("-inf"), 0))
            if now - logged_at < _INTERVAL_SECONDS:
                self._logged[key] = logged_at, left_out + 1
                return
            if len(self._logged) >= _CAUSES_KEPT:
                self._logged.clear()
            self._logged[key] = now, 0
        self._log.warning(event, **fields, error=error, left_out=left_out or None)
