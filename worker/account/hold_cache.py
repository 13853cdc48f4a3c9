"""The account's state as it was at most 20 ms ago: read before every call, so that a hold stops all senders at once."""

import threading
import time

from smsclick._database.engine import Database
from worker.account import holds
from worker.account.holds import AccountState

_CACHE_SECONDS = 0.02


class HoldCache:
    """The account's state as it was at most 20 ms ago.

    One thread reads it again when it is older. The other threads use the old one meanwhile, up to twice that age.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reading = threading.Lock()
        self._read: tuple[float, AccountState] | None = None
        self._forgotten_at = float("-inf")

    def current(self) -> AccountState:
        """The state; raises `DatabaseUnavailable`."""
        seen = self._not_older(2 * _CACHE_SECONDS if self._reading.locked() else _CACHE_SECONDS)
        if seen is not None:
            return seen
        with self._reading:
            seen = self._not_older(_CACHE_SECONDS)
            if seen is None:
                began = time.monotonic()
                with self._database.read() as connection:
                    seen = holds.read(connection)
                self._read = (began, seen)
            return seen

    def seen(self, began: float, state_seen: AccountState) -> None:
        """Keep a state that another transaction has read, which began at this time of `time.monotonic`."""
        read = self._read
        if read is None or read[0] < began:
            self._read = (began, state_seen)

    def forget(self) -> None:
        """Read it again at the next call of `current`."""
        self._forgotten_at = time.monotonic()

    def _not_older(self, seconds: float) -> AccountState | None:
        read = self._read
        if read is None or read[0] <= self._forgotten_at or time.monotonic() - read[0] > seconds:
            return None
        return read[1]
