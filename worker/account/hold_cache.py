"""The account's state as it was at most 20 ms ago: read before every call, so that a hold stops all calls at once."""

import asyncio
import time

from smsclick._database.engine import Database
from smsclick._logs.event_log import EventLog
from worker.account import holds
from worker.account.holds import AccountState

log = EventLog(__name__)

_CACHE_SECONDS = 0.02


class HoldCache:
    """The account's state as it was at most 20 ms ago.

    One call reads it again when it is older. The other calls use the old one meanwhile, up to twice that age. `current`
    belongs to one event loop, and reads in a thread of its executor; the other methods are safe from any thread.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reading: asyncio.Future[AccountState] | None = None
        self._read: tuple[float, AccountState] | None = None
        self._forgotten_at = float("-inf")
        self._was_open = True

    async def current(self) -> AccountState:
        """The state; raises `DatabaseUnavailable`."""
        while True:
            reading = self._reading
            seen = self._not_older(2 * _CACHE_SECONDS if reading is not None else _CACHE_SECONDS)
            if seen is not None:
                return seen
            loop = asyncio.get_running_loop()
            if reading is None or reading.done() or reading.get_loop() is not loop:
                reading = self._reading = loop.run_in_executor(None, self._read_now)
                reading.add_done_callback(self._end_reading)
                return await asyncio.shield(reading)
            # It may have begun before `forget`, so it is judged again.
            await asyncio.shield(reading)

    def seen(self, began: float, state_seen: AccountState) -> None:
        """Keep a state that another transaction has read, which began at this time of `time.monotonic`."""
        read = self._read
        if read is None or read[0] < began:
            self._read = (began, state_seen)
            if state_seen.is_open is not self._was_open:
                self._was_open = state_seen.is_open
                _log(state_seen)

    def forget(self) -> None:
        """Read it again at the next call of `current`."""
        self._forgotten_at = time.monotonic()

    def _read_now(self) -> AccountState:
        began = time.monotonic()
        with self._database.read() as connection:
            seen = holds.read(connection)
        self.seen(began, seen)
        return seen

    def _end_reading(self, reading: "asyncio.Future[AccountState]") -> None:
        if self._reading is reading:
            self._reading = None
        if not reading.cancelled():
            reading.exception()  # noted, also where each call that waited was cancelled

    def _not_older(self, seconds: float) -> AccountState | None:
        read = self._read
        if read is None or read[0] <= self._forgotten_at or time.monotonic() - read[0] > seconds:
            return None
        return read[1]


def _log(now: AccountState) -> None:
    """Log that a hold began or ended, once in each process that sends, whoever began or ended it."""
    if now.is_open:
        log.warning("account_released")
    elif now.operator_hold_at is not None:
        log.warning("account_held", reason="operator")
    else:
        log.warning("account_held", reason="restored" if now.hold_reason is None else now.hold_reason.value)
