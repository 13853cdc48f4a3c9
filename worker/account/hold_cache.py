"""A cache of the account's state. Each call reads it before it leaves, so a hold stops all calls within 20 to 40 ms."""

import asyncio
import time

from smsclick._database.engine import Database
from smsclick._logs.event_log import EventLog
from worker.account import holds
from worker.account.holds import AccountState

log = EventLog(__name__)

_CACHE_SECONDS = 0.02


class HoldCache:
    """The account's state as it was at most 20 ms ago, or at most 40 ms while it is being read again.

    If the state is older than 20 ms, one call reads it again. The other calls use the old state until then, so that
    they need not wait. Call `current` on one event loop only; it reads in a thread of the loop's executor. The other
    methods can be called from any thread.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reading: asyncio.Future[AccountState] | None = None
        self._read: tuple[float, AccountState] | None = None
        self._forgotten_at = float("-inf")
        self._was_open = True

    async def current(self) -> AccountState:
        """Return the state.

        Raises:
            DatabaseUnavailable: the database does not answer.
        """
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
            # The reading may have begun before `forget` was called. So the loop checks its age again.
            await asyncio.shield(reading)

    def seen(self, began: float, state_seen: AccountState) -> None:
        """Keep a state that another transaction has read.

        Args:
            began: when that transaction began, by `time.monotonic`; an older state than the known one is ignored.
            state_seen: the state.
        """
        read = self._read
        if read is None or read[0] < began:
            self._read = (began, state_seen)
            if state_seen.is_open is not self._was_open:
                self._was_open = state_seen.is_open
                _log(state_seen)

    def forget(self) -> None:
        """Have the next call of `current` read the state from the database."""
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
            # asyncio warns of an exception that nobody asked for; each call that waited may have been cancelled.
            reading.exception()

    def _not_older(self, seconds: float) -> AccountState | None:
        read = self._read
        if read is None or read[0] <= self._forgotten_at or time.monotonic() - read[0] > seconds:
            return None
        return read[1]


def _log(now: AccountState) -> None:
    """Log that a hold began or ended: once in each process that sends, because any process may have changed it."""
    if now.is_open:
        log.warning("account_released")
    elif now.operator_hold_at is not None:
        log.warning("account_held", reason="operator")
    else:
        log.warning("account_held", reason="restored" if now.hold_reason is None else now.hold_reason.value)
