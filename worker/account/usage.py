"""What was sent, charged, delivered and rejected: one row for ten minutes, counted from the events of messages.

Figures about a day or a month must not read all messages of it. So a tick counts the new events by their ids, each
once, and whoever asks adds the few that are not counted yet.
"""

import dataclasses
import datetime as dt
import time
from typing import Any

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick._values.texts import CHARACTERS_PER_CREDIT
from smsclick.contract import State, events, messages, usage
from worker.account.account_state import AccountState
from worker.account.forecast import WINDOW_SECONDS, Forecast, forecast
from worker.sql.insert_once import insert_once
from worker.sql.now import database_now

PERIOD = dt.timedelta(minutes=10)
"""Of each row."""

KEPT = dt.timedelta(days=400)
"""Older rows are deleted."""

EVENTS_AT_ONCE = 500
"""Events of one transaction, and the most that a reader adds by itself."""

COUNT_SECONDS = 30.0
"""Between two counts."""

_LONGEST_COUNT_SECONDS = 2.0
_LATE = dt.timedelta(seconds=20)
"""Ids do not become visible in their order: an event of a transaction that lasts longer than this is not counted."""

_COUNTED = (State.SENT, State.DELIVERED, State.REJECTED)


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """Sums over a time.

    Attributes:
        sent: messages that the provider accepted.
        credits: charged for them, as the provider's answers said.
        predicted: credits that were expected for the messages whose charge is known.
        delivered: messages that became delivered.
        rejected: messages that became rejected.
    """

    sent: int = 0
    credits: int = 0
    predicted: int = 0
    delivered: int = 0
    rejected: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(mine + its for mine, its in zip(_values(self), _values(other), strict=True)))

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(*(mine - its for mine, its in zip(_values(self), _values(other), strict=True)))


def count(database: Database, seconds: float = _LONGEST_COUNT_SECONDS) -> None:
    """Count the events that nobody has counted yet, in short transactions, for at most `seconds`."""
    end = time.monotonic() + seconds
    while database.transact(_count_once) and time.monotonic() < end:
        pass


def read(connection: sa.Connection, since: dt.datetime, *, fresh: bool = True) -> Usage:
    """The sums since then, to a period exactly.

    Args:
        connection: where to read.
        since: a period that holds it counts as a whole.
        fresh: whether events that nobody has counted yet are added, up to `EVENTS_AT_ONCE`.
    """
    columns = [sa.func.coalesce(sa.func.sum(usage.c[field.name]), 0) for field in dataclasses.fields(Usage)]
    row = connection.execute(sa.select(*columns).where(usage.c.begins_at > since - PERIOD)).one()
    counted = Usage(*map(int, row))
    return counted + _uncounted(connection) if fresh else counted


def counted_since(connection: sa.Connection, *, fresh: bool = True) -> dt.datetime | None:
    """When the first period began; None where nothing was sent yet, or counted yet if not `fresh`."""
    since: dt.datetime | None = connection.scalar(sa.select(sa.func.min(usage.c.begins_at)))
    if since is None and fresh and (first := _first(connection, _begin(connection))) is not None:
        return _period_of(first.at)
    return since


def present_forecast(connection: sa.Connection, account_state: AccountState, *, fresh: bool = True) -> Forecast | None:
    """When the balance will be used up at the rate of the last hour; None where too little is known.

    Args:
        connection: where to read.
        account_state: with the balance and the time of its reading.
        fresh: whether to add what is not counted yet, which reads events and the lengths of texts.
    """
    begin = counted_since(connection, fresh=fresh)
    if begin is None or account_state.balance_at is None:
        return None
    now = account_state.now
    # The periods that `read` sums begin before the hour: the rate is over the time that they really cover.
    first = max(begin, _period_of(now - dt.timedelta(seconds=WINDOW_SECONDS)) + PERIOD)
    charged = read(connection, first, fresh=fresh).credits
    return forecast(
        account_state.balance,
        charged=charged,
        seconds=(now - first).total_seconds(),
        balance_age_seconds=(now - account_state.balance_at).total_seconds(),
    )


def _count_once(connection: sa.Connection) -> bool:
    """Count the next events; True where there may be more."""
    now = database_now(connection)
    newest = connection.execute(sa.select(usage).order_by(usage.c.begins_at.desc()).limit(1).with_for_update()).first()
    first = _first(connection, _begin(connection) if newest is None else newest.counted_to)
    if first is None:
        return False
    if newest is None:
        _begin_period(connection, _period_of(first.at), first.id - 1, now)
        return True
    # Where the clock was set back, what comes now belongs to the newest period.
    period = max(newest.begins_at, _period_of(first.at))
    last_id = _last_id(connection, newest.counted_to, min(period + PERIOD, now - _LATE))
    if last_id is None:
        return False
    if period > newest.begins_at:
        _begin_period(connection, period, newest.counted_to, now)
    counted = _values(_sums(connection, newest.counted_to, last_id))
    added = {field.name: usage.c[field.name] + n for field, n in zip(dataclasses.fields(Usage), counted, strict=True)}
    connection.execute(sa.update(usage).where(usage.c.begins_at == period).values(counted_to=last_id, **added))
    return True


def _begin_period(connection: sa.Connection, begins_at: dt.datetime, counted_to: int, now: dt.datetime) -> None:
    insert_once(connection, usage, {"begins_at": begins_at, "counted_to": counted_to})
    connection.execute(sa.delete(usage).where(usage.c.begins_at < now - KEPT))


def _begin(connection: sa.Connection) -> int:
    """After which event the first count begins: an upgrade does not read a table of millions."""
    query = sa.select(events.c.id).order_by(events.c.id.desc()).limit(1).offset(EVENTS_AT_ONCE)
    return connection.scalar(query) or 0


def _first(connection: sa.Connection, after: int) -> Any:  # noqa: ANN401 - a Row
    """The first event after this one; None where there is none."""
    query = sa.select(events.c.id, events.c.at).where(events.c.id > after)
    return connection.execute(query.order_by(events.c.id).limit(1)).first()


def _last_id(connection: sa.Connection, after: int, before: dt.datetime) -> int | None:
    """The last of the next events up to the first one that is not older than `before`; None where there is none."""
    following = sa.select(events.c.id, events.c.at).where(events.c.id > after).order_by(events.c.id)
    chunk = following.limit(EVENTS_AT_ONCE).subquery()
    last: int | None = connection.scalar(sa.select(sa.func.max(chunk.c.id)))
    too_new = connection.scalar(sa.select(sa.func.min(chunk.c.id)).where(chunk.c.at >= before))
    if too_new is None:
        return last
    return None if too_new == after + 1 else _id_before(connection, after, too_new)


def _id_before(connection: sa.Connection, after: int, before: int) -> int | None:
    query = sa.select(events.c.id).where(events.c.id > after, events.c.id < before)
    found: int | None = connection.scalar(query.order_by(events.c.id.desc()).limit(1))
    return found


def _uncounted(connection: sa.Connection) -> Usage:
    counted_to = connection.scalar(sa.select(sa.func.max(usage.c.counted_to)))
    if counted_to is None:
        counted_to = _begin(connection)
    chunk = sa.select(events.c.id).where(events.c.id > counted_to).order_by(events.c.id).limit(EVENTS_AT_ONCE)
    last = connection.scalar(sa.select(sa.func.max(chunk.subquery().c.id)))
    return Usage() if last is None else _sums(connection, counted_to, last)


def _sums(connection: sa.Connection, after: int, last: int) -> Usage:
    length = sa.func.length if connection.dialect.name == "sqlite" else sa.func.char_length
    by_length = (length(messages.c.text) + CHARACTERS_PER_CREDIT - 1) // CHARACTERS_PER_CREDIT
    # An erased text predicts nothing; neither does a charge that nobody knows.
    predicted = sa.case((messages.c.text == "", messages.c.credits_used), else_=by_length)
    # The limit is that of the caller's `last`, said again for a planner that cannot know how close the two ids are.
    following = sa.select(events.c.message_id, events.c.from_state, events.c.to_state)
    following = following.where(events.c.id > after, events.c.id <= last).order_by(events.c.id).limit(EVENTS_AT_ONCE)
    chunk = following.subquery()
    # Looked up one by one: a join would read all messages where a planner thinks that this is cheaper.
    mine = messages.c.id == chunk.c.message_id
    known = sa.case((messages.c.credits_used.is_not(None), predicted))
    priced = (
        sa.select(
            chunk.c.to_state,
            sa.select(messages.c.credits_used).where(mine).scalar_subquery().label("charged"),
            sa.select(known).where(mine).scalar_subquery().label("predicted"),
        )
        .where(chunk.c.to_state.in_(_COUNTED), chunk.c.from_state != chunk.c.to_state)
        .subquery()
    )
    rows = connection.execute(
        sa.select(
            priced.c.to_state,
            sa.func.count(),
            sa.func.coalesce(sa.func.sum(priced.c.charged), 0),
            sa.func.coalesce(sa.func.sum(priced.c.predicted), 0),
        ).group_by(priced.c.to_state)
    )
    found = {row[0]: (int(row[1]), int(row[2]), int(row[3])) for row in rows}
    sent, charged, expected = found.get(State.SENT, (0, 0, 0))
    return Usage(sent, charged, expected, found.get(State.DELIVERED, (0,))[0], found.get(State.REJECTED, (0,))[0])


def _period_of(time_: dt.datetime) -> dt.datetime:
    return time_ - (time_ - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) % PERIOD


def _values(of: Usage) -> tuple[int, int, int, int, int]:
    return of.sent, of.credits, of.predicted, of.delivered, of.rejected
