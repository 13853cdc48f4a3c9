"""The counters as they were in each of the last minutes: two of them say what happened between them.

The counters of `worker.metrics.tallies` only say how much there was in all. A row for each minute makes rates and
latencies of the last hour out of them, at a cost that depends neither on the messages nor on how many were sent.
Why: docs/decisions/0067-figures-of-the-last-hour.md.
"""

import dataclasses
import datetime as dt
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick.contract import State, minutes
from worker.lifecycle import tallied
from worker.metrics import process_metrics, tallies
from worker.sql.insert_once import insert_once
from worker.sql.now import database_now

MINUTE: Final = dt.timedelta(minutes=1)
KEPT: Final = dt.timedelta(hours=2)
"""Older rows are deleted."""

Parts = Mapping[str, int]
"""A histogram as `worker.metrics.histograms` has it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Counters:
    """Sums since counting began, or their growth in a span of time.

    Attributes:
        sent: messages that became `sent`.
        delivered: messages that became `delivered`.
        rejected: messages that became `rejected`.
        failed: messages that became `failed`.
        waits: from when a message could first be sent to its first request, a histogram of `FAST_SECONDS`.
        calls: how long `sendMsg` took, a histogram of `FAST_SECONDS`.
        finals: from the acceptance to the final status, a histogram of `SLOW_SECONDS`.
    """

    sent: int = 0
    delivered: int = 0
    rejected: int = 0
    failed: int = 0
    waits: Parts = dataclasses.field(default_factory=dict)
    calls: Parts = dataclasses.field(default_factory=dict)
    finals: Parts = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, totals: Mapping[str, Mapping[str, int]]) -> Self:
        """The sums among all counters, as `tallies.totals` returns them."""
        entries: Counter[str] = Counter()
        for label, amount in totals.get(tallied.EVENTS, {}).items():
            before, after, _ = label.split(" ")
            if before != after:
                entries[after] += amount
        finals: Counter[str] = Counter()
        for label, amount in totals.get(tallied.FINAL_SECONDS, {}).items():
            finals[label.partition(" ")[2]] += amount
        return cls(
            sent=entries[State.SENT],
            delivered=entries[State.DELIVERED],
            rejected=entries[State.REJECTED],
            failed=entries[State.FAILED],
            waits=totals.get(process_metrics.WAIT_SECONDS, {}),
            calls=totals.get(process_metrics.CALL_SECONDS, {}),
            finals=dict(finals),
        )

    @classmethod
    def parsed(cls, stored: str) -> Self:
        """What `written` wrote; a name of another release is left out."""
        values: dict[str, Any] = json.loads(stored)
        return cls(**{field.name: values[field.name] for field in dataclasses.fields(cls) if field.name in values})

    def written(self) -> str:
        """As it is stored."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))

    def since(self, earlier: "Counters") -> "Counters":
        """The growth since then. Where a counter became smaller, after a restore, nothing is known to have happened."""
        return Counters(
            sent=max(0, self.sent - earlier.sent),
            delivered=max(0, self.delivered - earlier.delivered),
            rejected=max(0, self.rejected - earlier.rejected),
            failed=max(0, self.failed - earlier.failed),
            waits=_growth(self.waits, earlier.waits),
            calls=_growth(self.calls, earlier.calls),
            finals=_growth(self.finals, earlier.finals),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """What happened between two readings.

    Attributes:
        begins_at: the time of the first one.
        ends_at: the time of the second one.
        counted: the growth of the counters between them.
    """

    begins_at: dt.datetime
    ends_at: dt.datetime
    counted: Counters

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return (self.ends_at - self.begins_at).total_seconds()

    @property
    def per_second(self) -> float:
        """Messages that the provider accepted a second."""
        return self.counted.sent / self.seconds if self.seconds > 0 else 0.0


def note(database: Database) -> bool:
    """Store the counters of this minute, unless a process has done so; returns whether this call did."""
    with database.read() as connection:
        now = database_now(connection)
        if connection.scalar(sa.select(minutes.c.minute).where(minutes.c.minute == _minute_of(now))) is not None:
            return False
    return database.transact(_note)


def last_hour(connection: sa.Connection, now: dt.datetime) -> list[Span]:
    """What happened in each minute of the last hour, oldest first; the last span ends now.

    While nothing stores the minutes, a span is longer: it lasts from one reading to the next.

    Args:
        connection: where to read.
        now: the database's time.
    """
    # One row before the hour, so that the hour's first minute has a beginning.
    query = sa.select(minutes).where(minutes.c.minute >= _minute_of(now) - dt.timedelta(minutes=61))
    rows = connection.execute(query.order_by(minutes.c.minute).limit(120)).all()
    readings = [(row.read_at, Counters.parsed(row.counters)) for row in rows if row.read_at <= now]
    readings.append((now, Counters.of(tallies.totals(connection))))
    return [
        Span(begin, end, counters.since(earlier))
        for (begin, earlier), (end, counters) in itertools.pairwise(readings)
        if end > begin
    ]


def merged(parts: Iterable[Parts]) -> Parts:
    """One histogram of several."""
    sums: Counter[str] = Counter()
    for each in parts:
        sums.update(each)
    return dict(sums)


def _note(connection: sa.Connection) -> bool:
    now = database_now(connection)
    row = {
        "minute": _minute_of(now),
        "read_at": now,
        "counters": Counters.of(tallies.totals(connection)).written(),
    }
    if not insert_once(connection, minutes, row):
        return False
    # Those ahead of now were stored before the database's clock was set back.
    connection.execute(sa.delete(minutes).where(sa.or_(minutes.c.minute < now - KEPT, minutes.c.minute > now)))
    return True


def _minute_of(now: dt.datetime) -> dt.datetime:
    return now.replace(second=0, microsecond=0)


def _growth(later: Parts, earlier: Parts) -> Parts:
    return {part: amount - earlier.get(part, 0) for part, amount in later.items() if amount > earlier.get(part, 0)}
