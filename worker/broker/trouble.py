"""Errors of the broker: their reasons in our own words, one log line a minute, and how long to wait."""

import re
import time
from collections.abc import Callable
from typing import Final

from smsclick._logs.event_log import EventLog
from smsclick._net.certificates import tls_reason

log = EventLog(__name__)

LOG_INTERVAL_SECONDS: Final = 60.0
"""While the broker cannot be used, each reason is logged once in this time."""

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 15.0

_REASONS: Final = {
    "READONLY": "it is a replica, which accepts no writes",
    "MISCONF": "it cannot write its data to its disk",
    "NOPERM": "its rules forbid our user a command or a key",
    "LOADING": "it is still reading its data",
    "OOM": "its memory is full",
    "NOAUTH": "it asks for a password",
    "WRONGPASS": "it does not know our user and password",
    "UNBLOCKED": "it has just become a replica",
    "MASTERDOWN": "it is a replica without its master",
    "CLUSTERDOWN": "its cluster is down",
    "ReadOnlyError": "it is a replica, which accepts no writes",
    "NoPermissionError": "its rules forbid our user a command or a key",
    "BusyLoadingError": "it is still reading its data",
    "OutOfMemoryError": "its memory is full",
    "MasterDownError": "it is a replica without its master",
    "AuthenticationError": "it asks for a user and password, or refuses ours",
    "AccessRefused": "it refuses our user and password, or our rights",
    "NotAllowed": "it does not let our user into this virtual host",
    "MasterNotFoundError": "no Sentinel names the master: none is reached, or with TLS none is trusted",
}


def reason(error: BaseException) -> str:
    """The reason of a broker's error in our own words: the error's text may hold a message's content.

    Args:
        error: of kombu, its transport, or a client library.

    Returns:
        A known reason with its name, else the type of the error's cause.
    """
    if (tls := tls_reason(error)) is not None:
        return tls
    found: BaseException | None = error
    while found is not None:
        # Redis' errors begin with a word in capitals; redis-py keeps it in some errors, and has a type for others.
        code = re.match(r"[A-Z]{3,}\b", str(found))
        for name in (code.group() if code else "", *(kind.__name__ for kind in type(found).__mro__)):
            if name in _REASONS:
                return f"{_REASONS[name]} ({name})"
        found = found.__cause__ or found.__context__
    return type(error.__cause__ or error.__context__ or error).__name__


class Trouble:
    """Whether the broker can be used by one process, what was logged about it, and how long to wait.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None
        self._logged_at: dict[str, float] = {}
        self._tries = 0

    def met(self, error: BaseException) -> float:
        """Note an error, log it if that is due, and return the seconds to wait before the next try."""
        now = self._clock()
        if self._since is None:
            self._since = now
        self._tries += 1
        why = reason(error)
        if now - self._logged_at.get(why, float("-inf")) >= LOG_INTERVAL_SECONDS:
            self._logged_at[why] = now
            log.warning("broker_unusable", reason=why, seconds=round(now - self._since))
            log.debug("broker_error", exc_info=error)
        return float(min(FIRST_PAUSE_SECONDS * 2 ** min(self._tries - 1, 10), LONGEST_PAUSE_SECONDS))

    def over(self) -> None:
        """Note that the broker works; logged if it did not."""
        if self._since is not None:
            log.warning("broker_again", seconds=round(self._clock() - self._since))
        self._since = None
        self._tries = 0
        self._logged_at.clear()
