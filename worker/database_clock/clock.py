"""Each process checks that the database's clock runs steadily, because that clock decides all due times.

A process reads the database's clock together with its own monotonic clock. If the two show different durations since
the last reading, the database's clock was set; or a failover has led to a database with another clock. This is a step.
The first process that notices a step moves the times that were written before it (`worker.database_clock.step`). The
shared row says by how much, so the other processes do not do it again.

A process that has just started has no earlier reading. It cannot distinguish a step from a time in which no process
ran. So it does not trust the time before its start: the absence of a message counts only `SMSCLICK_SETTLE_SECONDS`
after `trusted_since`. Why: docs/decisions/0039-the-databases-clock-is-checked.md.
"""

import dataclasses
import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._database.engine import Database
from smsclick._logs.event_log import EventLog
from smsclick.contract import clocks
from smsclick.provider.clock import clock as measured
from worker.account import balance_history
from worker.alerting import incidents
from worker.alerting.details import made
from worker.alerting.wording import DetailCode
from worker.database_clock import step as clock_step
from worker.sql.insert_once import insert_once

log = EventLog(__name__)

TOLERATED_SECONDS = 2.0
"""A smaller difference is no step: time services adjust clocks slowly, and processes wait for a processor."""

GAP_SECONDS = 60.0
"""A process that starts trusts the time since the last reading of any process, if that was at most this long ago.

Each process reads the clock once in each sweep period.
"""

_NAME = "database"


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """One reading of the database's clock.

    Attributes:
        at: the database's time.
        before: the process's own clock before the reading.
        after: the process's own clock after it.
        stepped: the sum of all steps that were known then, in seconds.
    """

    at: dt.datetime
    before: float
    after: float
    stepped: float

    @property
    def uncertainty(self) -> float:
        """How many seconds the reading took."""
        return self.after - self.before


def step_between(last: Look, now: Look) -> float:
    """Return by how many seconds the database's clock was set between two readings; 0.0 if that is not proven.

    Args:
        last: an earlier reading.
        now: a later reading of the same process.
    """
    went_by = (now.at - last.at).total_seconds()
    shortest, longest = now.before - last.after, now.after - last.before
    if shortest - TOLERATED_SECONDS <= went_by <= longest + TOLERATED_SECONDS:
        return 0.0
    return went_by - (shortest + longest) / 2


class DatabaseClock:
    """Watches the database's clock for one process. It can be used from any thread.

    Args:
        gap_seconds: the longest time without a reading of any process that this process trusts at its first reading.
        measure: a monotonic clock in seconds, which also runs while the machine sleeps.
    """

    def __init__(self, gap_seconds: float = GAP_SECONDS, measure: Callable[[], float] = measured) -> None:
        self._gap_seconds = gap_seconds
        self._measure = measure
        self._lock = threading.Lock()
        self._last: Look | None = None

    def read(self, database: Database) -> dt.datetime:
        """Return the database's time, after times of open attempts were moved if the clock was set.

        Raises:
            DatabaseUnavailable: the database does not answer.
        """
        with self._lock:
            before = self._measure()
            at: dt.datetime = database.clock()
            look = Look(at, before, self._measure(), 0.0)
            stepped = database.transact(lambda connection: self._note(connection, look))
            self._last = dataclasses.replace(look, stepped=stepped)
        return at

    def _note(self, connection: sa.Connection, look: Look) -> float:
        """Compare this reading with the last one and write the result into the shared row.

        Returns:
            The sum of all known steps, in seconds.
        """
        row = _locked(connection)
        last = self._last
        trusted, step = row.trusted_since, 0.0
        if last is None:
            # A clock that shows less than before was set back for sure. A clock that shows more may be right: perhaps
            # no process ran for that long.
            ahead = (look.at - row.seen_at).total_seconds()
            step = ahead if ahead < -TOLERATED_SECONDS else 0.0
            if ahead > self._gap_seconds:
                trusted = look.at
        elif found := step_between(last, look):
            # Another process may have handled this step already; then the sum in the shared row has grown by it.
            step = found - (row.stepped_ms / 1000 - last.stepped)
            if abs(step) <= TOLERATED_SECONDS + look.uncertainty + last.uncertainty:
                step = 0.0
        values: dict[str, object] = {}
        if step:
            values = clock_step.begin_shift(row, step, look.at) if step < 0 else {}
            unwatched = None if last is None else look.before - last.after
            if not _adjust(connection, look.at, step, unwatched) or last is None:
                trusted = look.at
            elif trusted is not None:
                trusted += dt.timedelta(seconds=step)
        stepped_ms = int(row.stepped_ms + round(step * 1000))
        values |= {"seen_at": look.at, "trusted_since": trusted, "stepped_ms": stepped_ms}
        connection.execute(sa.update(clocks).where(clocks.c.name == _NAME).values(**values))
        return stepped_ms / 1000


def _adjust(connection: sa.Connection, now: dt.datetime, step: float, unwatched: float | None) -> bool:
    log.warning("database_clock_set", seconds=round(step, 1))
    adjusted = clock_step.adjust(connection, now, step, unwatched)
    balance_history.forget(connection)
    code = DetailCode.CLOCK_FORWARD if step > 0 else DetailCode.CLOCK_BACK
    incidents.report(connection, "clock_step", detail=made(code, seconds=f"{abs(step):.0f}"))
    return adjusted


def trusted_since(connection: sa.Connection) -> dt.datetime | None:
    """Return since when the database's clock is known to run steadily; None if that was always so.

    An attempt that began before this time counts as absent only `SMSCLICK_SETTLE_SECONDS` after it.
    """
    found: dt.datetime | None = connection.scalar(sa.select(clocks.c.trusted_since).where(clocks.c.name == _NAME))
    return found


def shift(database: Database, stop: threading.Event) -> int:
    """Move the due times that are too late after the clock was set back, in batches.

    Args:
        database: where the rows are.
        stop: ends the work after the batch that is under way.

    Returns:
        How many rows were moved.
    """
    moved = 0
    while not stop.is_set():
        with database.read() as connection:
            pending = connection.scalar(sa.select(clocks.c.shift_stage).where(clocks.c.name == _NAME))
        if pending is None:
            break
        moved += database.transact(_shift_batch)
    return moved


def _shift_batch(connection: sa.Connection) -> int:
    row = _locked(connection)
    if row.shift_stage is None:
        return 0
    moved, values = clock_step.shift_batch(connection, row)
    connection.execute(sa.update(clocks).where(clocks.c.name == _NAME).values(**values))
    return moved


def _locked(connection: sa.Connection) -> sa.Row[Any]:
    query = sa.select(clocks).where(clocks.c.name == _NAME).with_for_update()
    row = connection.execute(query).first()
    if row is None:
        # No process has read the clock yet: the database is new or was just upgraded.
        insert_once(connection, clocks, {"name": _NAME, "seen_at": db_now()})
        row = connection.execute(query).one()
    return row
