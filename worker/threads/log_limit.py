"""Limit log lines about a lasting problem: the first at once, then one a minute for each cause."""

import logging
import threading
import time
from collections.abc import Callable

_INTERVAL_SECONDS = 60.0
_CAUSES_KEPT = 200


class LimitedLog:
    """Warnings of a logger; the same message with the same error is logged at most once a minute.

    Args:
        log: the logger.
        clock: monotonic, in seconds.
    """

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._logged: dict[str, tuple[float, int]] = {}

    def warning(self, message: str, error: BaseException, *args: object) -> None:
        """Log a warning about an error whose text may be logged.

        Args:
            message: a constant sentence with `%s` for each of `args`, then one for the error.
            error: one of ours (`SmsclickError`): its text has no phone, no message text and no driver's text.
            *args: the values before the error.
        """
        now = self._clock()
        key = message % (*args, error)
        with self._lock:
            logged_at, left_out = self._logged.get(key, (float("-inf"), 0))
            if now - logged_at < _INTERVAL_SECONDS:
                self._logged[key] = logged_at, left_out + 1
                return
            if len(self._logged) >= _CAUSES_KEPT:
                self._logged.clear()
            self._logged[key] = now, 0
        more = f" left_out={left_out}" if left_out else ""
        self._log.warning(f"{message}%s", *args, error, more)
