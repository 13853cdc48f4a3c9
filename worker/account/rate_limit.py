"""One limit of calls a second over all workers together: `SMSCLICK_MAX_PER_SECOND`.

A row of our database says up to when calls are given out. A worker takes the next slots from it in one short
transaction and lets each of its calls leave in a slot of its own: they come evenly, whichever workers make them. The
arithmetic is pyrate_limiter's GCRA, the clock the database's. Why: docs/decisions/0015-one-limit-in-the-database.md.
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
"""A call may leave this long after its slot and no later: no second sees more than 1.2 seconds' worth of calls."""

_NAME = "sendMsg"
_ASKS = 50.0
"""Transactions a second over all workers; above that rate a worker takes several slots at once."""
_AHEAD_SECONDS = 1.0
"""Slots further ahead are not given out: a worker that ends takes few with it."""
_IN_HAND_SECONDS = 0.25
_RETRY_SECONDS = 0.5
_STOPPING_SECONDS = 0.1
"""A call that waits notices so soon that the process is to end."""
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_ALGORITHM = GCRA()


class Limiter(Protocol):
    """Says when the next call may leave."""

    @property
    def claim_limit(self) -> int | None:
        """How many claimed messages of a worker should wait for their call at most; None: any number.

        Those that are in flight do not count. So a high message does not wait long behind what is claimed already.
        """

    @property
    def waited_at(self) -> float:
        """When a call of this process last waited for its slot, by `time.monotonic`: now, or `-inf` for never."""

    async def acquire(self, stopping: threading.Event, not_after: float | None = None) -> bool:
        """Wait until one call may leave, which is now. Asked by each call, right before it, on one event loop.

        Args:
            stopping: ends the wait.
            not_after: by `smsclick.provider.clock.clock`; later than this the call need not leave at all.

        Returns:
            False where it may not leave: stopping, or too late.
        """


class Unlimited:
    """No limit."""

    claim_limit: int | None = None
    waited_at: float = float("-inf")

    async def acquire(self, stopping: threading.Event, not_after: float | None = None) -> bool:  # noqa: ARG002 - as above
        """At once, unless stopping."""
        return not stopping.is_set()


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """Slots that were given out, in microseconds since 1970.

    Attributes:
        first: the first one.
        step: from one to the next.
        next_at: the first one that is left for others.
    """

    first: int
    step: int
    next_at: int


def give(rate: Rate, next_at: int, now: int, count: int) -> Given | float:
    """The next `count` slots, or the seconds to wait where slots are given out for as far ahead as they may be.

    Args:
        rate: its burst is how many slots may be given out ahead of time.
        next_at: the first slot that is left.
        now: in microseconds since 1970.
        count: at most `rate.burst`.
    """
    now_ms = now // 1000
    furthest = (now_ms + math.ceil(rate.burst * rate.interval / rate.limit)) * 1000
    next_at = min(next_at, furthest)  # beyond it where the clock was set back
    (after,), decision = _ALGORITHM.step([rate], (next_at,), now_ms, count)
    if not decision.allowed:
        return (decision.retry_after_ms or 1) / 1000
    first = max(next_at, now_ms * 1000)
    return Given(first, (int(after) - first) // count, int(after))


class SharedLimiter:
    """The limit that all workers of one database keep together.

    Args:
        database: where its row is.
        per_second: calls a second.
    """

    def __init__(self, database: Database, per_second: float) -> None:
        self._database = database
        self._count = max(1, math.ceil(per_second / _ASKS))
        ahead = max(self._count, math.ceil(per_second * _AHEAD_SECONDS))
        # In a thousand seconds, because pyrate_limiter counts in whole numbers.
        self._rate = Rate(limit=round(per_second * 1000), interval=1_000_000, burst=ahead)
        self._slots: collections.deque[float] = collections.deque()
        self._none_before = 0.0
        self._asking: asyncio.Future[None] | None = None
        self.claim_limit: int | None = max(1, int(per_second * _IN_HAND_SECONDS))
        self._waited_at = float("-inf")
        self._waiting = 0

    @property
    def waited_at(self) -> float:
        """As `Limiter.waited_at`."""
        return time.monotonic() if self._waiting else self._waited_at

    async def acquire(self, stopping: threading.Event, not_after: float | None = None) -> bool:
        """As `Limiter.acquire`."""
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
        """A slot by `time.monotonic`, and whether a call may leave then or only ask again."""
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
        """Take the next slots, or learn until when there are none. In a thread: the database may take its time."""
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
        # Asked with the row in hand: before, this could be the time at which the wait for it began.
        now = (database_now(connection) - _EPOCH) // dt.timedelta(microseconds=1)
        read_at = time.monotonic()
        given = give(self._rate, next_at, now, self._count)
        if isinstance(given, Given):
            connection.execute(sa.update(limits).where(limits.c.name == _NAME).values(next_at=given.next_at))
        return given, now, read_at


def limiter(database: Database, per_second: float) -> Limiter:
    """The limiter that the settings ask for; 0 is no limit."""
    return SharedLimiter(database, per_second) if per_second else Unlimited()
