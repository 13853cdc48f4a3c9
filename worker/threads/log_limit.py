"""Log lines about what goes on for longer than a try: the first at once, then one a minute for each cause."""

import logging
import threading
import time
from collections.abc import Callable

_SECONDS = 60.0
_CAUSES = 200


class LimitedLog:
    """A logger's warnings, each message with the same error at most once a minute.

    Args:
        log: where they go.
        clock: seconds, as of `time.monotonic`.
    """

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._said: dict[str, tuple[float, int]] = {}

    def warning(self, message: str, error: BaseException, *args: object) -> None:
        """Warn of an error whose words may be logged.

        Args:
            message: a constant sentence with `%s` for each of `args`, then one for the error.
            error: one of ours (`SmsclickError`), whose text has neither phone nor text nor a driver's words about rows.
            args: what comes before the error.
        """
        now = self._clock()
        key = message % (*args, error)
        with self._lock:
            said_at, left_out = self._said.get(key, (float("-inf"), 0))
            if now - said_at < _SECONDS:
                self._said[key] = said_at, left_out + 1
                return
            if len(self._said) >= _CAUSES:
                self._said.clear()
            self._said[key] = now, 0
        more = f" left_out={left_out}" if left_out else ""
        self._log.warning(f"{message}%s", *args, error, more)
