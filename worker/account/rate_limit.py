"""One limit of calls per second for all workers together: `SMSCLICK_MAX_PER_SECOND`.

Time is divided into slots, and in each slot one call may leave. A row of our database holds the time of the next free
slot. A worker reserves the next slots in one short transaction, and each of its calls waits for a slot of its own. So
the calls of all workers are evenly spaced. pyrate_limiter's GCRA computes the slots, by the database's clock.
Why: docs/decisions/0015-one-limit-in-the-database.md.
"""

import asyncio
import collections
import dataclasses
import datetime as dt
import math
import threading
import time
from typing import Protocol

import sqlalchemy as sa
from pyrate_limiter import GCRA, Rate

from smsclick._database.engine import Database
from smsclick._logs.event_log import EventLog
from smsclick.contract import limits
from smsclick.errors import SmsclickError
from smsclick.provider.clock import clock
from worker.sql.insert_once import insert_once
from worker.sql.now import database_now
from worker.threads.log_limit import LimitedLog

log = EventLog(__name__)
_waits = LimitedLog(log)

BURST_SECONDS = 0.2
"""A call leaves at most this long after its slot; a later one needs a new slot.

So at most the calls of 1.2 seconds leave within any second.
"""

_NAME = "sendMsg"
_ASKS = 50.0
"""The most transactions per second over all workers. At a higher rate a worker reserves several slots in each."""
_AHEAD_SECONDS = 1.0
"""Slots are reserved at most this far ahead. The slots of a worker that ends are lost, so they should be few."""
_IN_HAND_SECONDS = 0.25
_RETRY_SECONDS = 0.5
_STOPPING_SECONDS = 0.1
"""How often a call that waits checks whether the process is to end."""
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_ALGORITHM = GCRA()


class Limiter(Protocol):
    """Decides when the next call may leave."""

    @property
    def claim_limit(self) -> int | None:
        """How many claimed messages of a worker may wait for their call at most; None: any number.

        Messages whose call is in flight are not counted. A message with high priority is sent after the messages that
        are claimed already, so this keeps its wait short.
        """

    @property
    def waited_at(self) -> float:
        """When a call of this process last waited for a slot, by `time.monotonic`.

        Now while a call waits; `-inf` if none has waited yet.
        """

    async def acquire(self, stopping: threading.Event, not_after: float | None = None) -> bool:
        """Wait until one call may leave. Each call waits here right before it leaves, on one event loop.

        Args:
            stopping: ends the wait.
            not_after: by `smsclick.provider.clock.clock`; a call whose slot is later does not leave.

        Returns:
            True if the call may leave now; False if the process is stopping, or the slot would be too late.
        """


class Unlimited:
    """No limit."""

    claim_limit: int | None = None
    waited_at: float = float("-inf")

    async def acquire(self, stopping: threading.Event, not_after: float | None = None) -> bool:  # noqa: ARG002 - as above
        """Return at once: True unless the process is stopping."""
        return not stopping.is_set()


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """Slots that were reserved, in microseconds since 1970.

    Attributes:
        first: the first slot.
        step: the time between two slots.
        next_at: the next free slot, for the row in the database.
    """

    first: int
    step: int
    next_at: int


def give(rate: Rate, next_at: int, now: int, count: int) -> Given | float:
    """Reserve the next slots.

    Args:
        rate: the limit; its burst is how many slots may be reserved ahead of time.
        next_at: the next free slot.
        now: in microseconds since 1970.
        count: how many slots; at most `rate.burst`.

    Returns:
        The slots; or the seconds to wait, if all slots within the burst are reserved.
    """
    now_ms = now // 1000
    furthest = (now_ms + math.ceil(rate.burst * rate.interval / rate.limit)) * 1000
    next_at = min(next_at, furthest)  # it is later only if the clock was set back
    (after,), decision = _ALGORITHM.step([rate], (next_at,), now_ms, count)
    if not decision.allowed:
        return (decision.retry_after_ms or 1) / 1000
    first = max(next_at, now_ms * 1000)
    return Given(first, (int(after) - first) // count, int(after))


class SharedLimiter:
    """The limit for all workers that share a database.

    Args:
        database: has the row of the limit.
        per_second: calls per second.
    """

    def __init__(self, database: Database, per_second: float) -> None:
        self._database = database
        self._count = max(1, math.ceil(per_second / _ASKS))
        ahead = max(self._count, math.ceil(per_second * _AHEAD_SECONDS))
        # Per thousand seconds, because pyrate_limiter takes whole numbers only.
        self._rate = Rate(limit=round(per_second * 1000), interval=1_000_000, burst=ahead)
        self._slots: collections.deque[float] = collections.deque()
        self._none_before = 0.0
        self._asking: asyncio.Future[None] | None = None
        self.claim_limit: int | None = max(1, int(per_second * _IN_HAND_SECONDS))
        self._waited_at = float("-inf")
        self._waiting = 0

    @property
    def waited_at(self) -> float:
        """See `Limiter.waited_at`."""
        return time.monotonic() if self._waiting else self._waited_at

    async def acquire(self, stopping: threading.Event, not_after: float | None = None) -> bool:
        """See `Limiter.acquire`."""
        self._waiting += 1
        try:
            return await self._acquire(stopping, not_after)
        finally:
            self._waiting -= 1
            self._waited_at = time.monotonic()

    async def _acquire(self, stopping: threading.Event, not_after: float | None) -> bool:
        while not stopping.is_set():
            slot, mine = await self._next()
            if not_after is not None and clock() + slot - time.monotonic() > not_after:
                return False
            while (wait := slot - time.monotonic()) > 0 and not stopping.is_set():  # noqa: ASYNC110 - a thread's event
                await asyncio.sleep(min(wait, _STOPPING_SECONDS))
            if mine and not stopping.is_set() and time.monotonic() <= slot + BURST_SECONDS:
                return True
        return False

    async def _next(self) -> tuple[float, bool]:
        """Return a time by `time.monotonic`, and whether it is a slot. If it is none, ask again at that time."""
        while True:
            if self._slots:
                return self._slots.popleft(), True
            if time.monotonic() < self._none_before:
                return self._none_before, False
            loop = asyncio.get_running_loop()
            if self._asking is None or self._asking.done() or self._asking.get_loop() is not loop:
                self._asking = loop.run_in_executor(None, self._ask)
            await asyncio.shield(self._asking)

    def _ask(self) -> None:
        """Reserve the next slots, or note until when none is free.

        It runs in a thread, because the database may be slow. If the database fails, the calls wait and it is tried
        again soon.
        """
        try:
            given, now, read_at = self._database.transact(self._take)
        except SmsclickError as error:
            _waits.warning("calls_wait", error)
            self._none_before = time.monotonic() + _RETRY_SECONDS
            return
        if not isinstance(given, Given):
            self._none_before = read_at + given
            return
        first = read_at + (given.first - now) / 1e6
        self._slots.extend(first + n * given.step / 1e6 for n in range(self._count))

    def _take(self, connection: sa.Connection) -> tuple[Given | float, float, float]:
        query = sa.select(limits.c.next_at).where(limits.c.name == _NAME).with_for_update()
        next_at = connection.scalar(query)
        if next_at is None:
            insert_once(connection, limits, {"name": _NAME, "next_at": 0})
            next_at = connection.scalar(query) or 0
        # Read the time after the row was locked. Waiting for the lock may last, and an earlier time would be too old.
        now = (database_now(connection) - _EPOCH) // dt.timedelta(microseconds=1)
        read_at = time.monotonic()
        given = give(self._rate, next_at, now, self._count)
        if isinstance(given, Given):
            connection.execute(sa.update(limits).where(limits.c.name == _NAME).values(next_at=given.next_at))
        return given, now, read_at


def limiter(database: Database, per_second: float) -> Limiter:
    """Return the limiter for a setting.

    Args:
        database: has the row of the limit.
        per_second: `SMSCLICK_MAX_PER_SECOND`; 0 is no limit.
    """
    return SharedLimiter(database, per_second) if per_second else Unlimited()
