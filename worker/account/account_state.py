"""The account's row as it was read: whether messages may be sent. Each call reads it before it leaves.

`read` reads it in a transaction of the caller. `HoldCache` reads it at most once in 20 ms for all calls of a process,
so a hold stops all calls within 20 to 40 ms. `worker.account.holds` changes it.
"""

import asyncio
import dataclasses
import datetime as dt
import time

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._database.engine import Database
from smsclick._logs.event_log import EventLog
from smsclick.contract import ACCOUNT, HoldReason, accounts

log = EventLog(__name__)

_CACHE_SECONDS = 0.02


@dataclasses.dataclass(frozen=True, slots=True)
class AccountState:
    """The account's row as it was read, and the database's time of the reading (`now`)."""

    operator_hold_at: dt.datetime | None
    operator_hold_by: str | None
    operator_hold_why: str | None
    hold_reason: HoldReason | None
    hold_since: dt.datetime | None
    epoch: int
    needed_credits: int
    probe_at: dt.datetime
    canary_id: int | None
    canary_until: dt.datetime | None
    failures: int
    lag_id: int | None
    lag_since: dt.datetime | None
    report_lag: float | None
    report_lag_at: dt.datetime | None
    balance: int | None
    balance_at: dt.datetime | None
    opened_at: dt.datetime | None
    relapses: int
    canaries: int
    simulated_at: dt.datetime | None
    restored_since: dt.datetime | None
    restored_at: dt.datetime | None
    now: dt.datetime

    @property
    def is_open(self) -> bool:
        """Whether there is no hold, so that every message may be sent."""
        return self.operator_hold_at is None and self.hold_reason is None and self.restored_since is None

    @property
    def allowed_canary(self) -> int | None:
        """The canary: the message that may be sent although the account is held.

        None while an operator or a restored backup holds the account: these holds allow no canary.
        """
        if self.operator_hold_at is not None or self.restored_since is not None or self.hold_reason is None:
            return None
        return self.canary_id

    @property
    def canary_flies(self) -> bool:
        """Whether a canary was chosen and its answer may still come.

        `canary_until` ends this, so that a canary whose worker died does not block the next one.
        """
        return self.canary_id is not None and self.canary_until is not None and self.canary_until > self.now

    @property
    def key_works(self) -> bool:
        """Whether requests other than `credits` are useful: with a refused key each of them would be refused."""
        return self.hold_reason is not HoldReason.KEY_REFUSED


_COLUMNS = [accounts.c[field.name] for field in dataclasses.fields(AccountState) if field.name != "now"]
# The query is built once, because it is executed many times a second.
_READ = sa.select(*_COLUMNS, db_now().label("now")).where(accounts.c.account == ACCOUNT)
_LOCKED = _READ.with_for_update()


def read(connection: sa.Connection, *, lock: bool = False) -> AccountState:
    """Read the account's row.

    Args:
        connection: in a transaction if `lock` is true.
        lock: whether the row is locked. Lock messages before it: all steps use this order, so no deadlock is possible.
    """
    row = connection.execute(_LOCKED if lock else _READ).one()
    values = row._asdict()
    values["hold_reason"] = HoldReason(row.hold_reason) if row.hold_reason else None
    return AccountState(**values)


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
            seen = read(connection)
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
