"""The database's clock decides all due times; here each process checks that it runs steadily.

A process reads the database's clock beside its own monotonic one. Where the two disagree about what went by since it
last looked, the database's clock was set (or the database is another one after a failover). The first process that
notices moves what was stamped before the step (`worker.database_clock.step`); the others see in the shared row that it
is done.

A process that has only just started cannot distinguish a step from a time in which no process looked. It then trusts
no time that went by before: the absence of a message counts only `SMSCLICK_SETTLE_SECONDS` after `trusted_since`.
Why: docs/decisions/0039-the-databases-clock-is-checked.md.
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
from worker.database_clock import step as clock_step
from worker.sql.insert_once import insert_once

log = EventLog(__name__)

TOLERATED_SECONDS = 2.0
"""Less than this is no step: clocks are slewed, and processes wait for a processor."""

GAP_SECONDS = 60.0
"""A process that starts trusts the time that went by since another one looked, up to this. Every process looks each
sweep period."""

_NAME = "database"


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """One reading: the database's clock, the process's clock before and after, and the steps that were known then."""

    at: dt.datetime
    before: float
    after: float
    stepped: float

    @property
    def uncertainty(self) -> float:
        """Seconds: how long the reading took."""
        return self.after - self.before


def step_between(last: Look, now: Look) -> float:
    """By how many seconds the database's clock was set between two readings; 0.0 where nothing proves that it was.

    Args:
        last: an earlier reading.
        now: a later one of the same process.
    """
    went_by = (now.at - last.at).total_seconds()
    shortest, longest = now.before - last.after, now.after - last.before
    if shortest - TOLERATED_SECONDS <= went_by <= longest + TOLERATED_SECONDS:
        return 0.0
    return went_by - (shortest + longest) / 2


class DatabaseClock:
    """One process's watch over the database's clock; safe to use from any thread.

    Args:
        gap_seconds: how long nobody may have looked before this process's first look, so that it trusts that time.
        measure: a monotonic clock in seconds, which goes on while the machine sleeps.
    """

    def __init__(self, gap_seconds: float = GAP_SECONDS, measure: Callable[[], float] = measured) -> None:
        self._gap_seconds = gap_seconds
        self._measure = measure
        self._lock = threading.Lock()
        self._last: Look | None = None

    def read(self, database: Database) -> dt.datetime:
        """The database's time. A step since this process last looked is noticed, and open rows are moved by it first.

        Raises:
            DatabaseUnavailable: it does not answer.
        """
        with self._lock:
            before = self._measure()
            at: dt.datetime = database.clock()
            look = Look(at, before, self._measure(), 0.0)
            stepped = database.transact(lambda connection: self._note(connection, look))
            self._last = dataclasses.replace(look, stepped=stepped)
        return at

    def _note(self, connection: sa.Connection, look: Look) -> float:
        """Write what this reading says into the shared row; returns the sum of all known steps."""
        row = _locked(connection)
        last = self._last
        trusted, step = row.trusted_since, 0.0
        if last is None:
            # Back is certain, however long nobody looked; forward may be just such a time.
            ahead = (look.at - row.seen_at).total_seconds()
            step = ahead if ahead < -TOLERATED_SECONDS else 0.0
            if ahead > self._gap_seconds:
                trusted = look.at
        elif found := step_between(last, look):
            # Others may have noticed it already.
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
    incidents.report(
        connection, "clock_step", detail=f"set {'forward' if step > 0 else 'back'} by about {abs(step):.0f} s"
    )
    return adjusted


def trusted_since(connection: sa.Connection) -> dt.datetime | None:
    """Since when the time by the database's clock is known to have gone by; None: for as long as anybody looked.

    An attempt that began before is absent only `SMSCLICK_SETTLE_SECONDS` after this.
    """
    found: dt.datetime | None = connection.scalar(sa.select(clocks.c.trusted_since).where(clocks.c.name == _NAME))
    return found


def shift(database: Database, stop: threading.Event) -> int:
    """Move the due times that a step back left too late, in batches; returns how many rows were moved."""
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
        # No process has read the clock so far: an upgrade, or a new database.
        insert_once(connection, clocks, {"name": _NAME, "seen_at": db_now()})
        row = connection.execute(query).one()
    return row
