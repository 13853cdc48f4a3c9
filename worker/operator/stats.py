"""Read the figures of `smsclick stats`: messages by state, the oldest due message, hold, balance, open incidents."""

import dataclasses
import datetime as dt

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick.contract import Priority, messages
from worker.account import account_state, usage
from worker.account.account_state import AccountState
from worker.account.forecast import Forecast
from worker.account.usage import Usage
from worker.operator import counting, open_incidents, recent_heartbeats
from worker.operator.counting import Counts
from worker.operator.open_incidents import Incident
from worker.operator.recent_heartbeats import Heartbeat
from worker.queue import claims

DAYS = 7
"""For how many days what was sent and charged is summed, where nobody asks for others."""

_RATE_WINDOW = dt.timedelta(minutes=1)
_MOST_COUNTED = 20_000


@dataclasses.dataclass(frozen=True, slots=True)
class Stats:
    """The figures at one point in time.

    Attributes:
        counts: how many messages there are in each state.
        oldest_due_seconds: how long the oldest due message has waited; None if no message is due.
        account_state: the account's hold and balance.
        incidents: the open ones, oldest first.
        heartbeats: the latest first.
        now: the time of the reading, by the database's clock.
        per_second: messages that the provider accepted a second, over the last minute.
        used: what was sent and charged in the days that were asked for.
        used_since: from when on that is known; None where nothing was sent yet.
        forecast: when the balance will be used up at the present rate; None where too little is known.
    """

    counts: Counts
    oldest_due_seconds: float | None
    account_state: AccountState
    incidents: list[Incident]
    heartbeats: list[Heartbeat]
    now: dt.datetime
    per_second: float
    used: Usage
    used_since: dt.datetime | None
    forecast: Forecast | None


def read(database: Database, days: int = DAYS) -> Stats:
    """Return the figures; each query is bounded, so the cost does not grow with the table.

    Args:
        database: where to read.
        days: for how many days what was sent and charged is summed.
    """
    with database.read() as connection:
        state = account_state.read(connection)
        oldest = oldest_due(connection)
        since, counted = state.now - dt.timedelta(days=days), usage.counted_since(connection)
        return Stats(
            counts=counting.count(connection),
            oldest_due_seconds=None if oldest is None else (state.now - oldest).total_seconds(),
            account_state=state,
            incidents=open_incidents.read(connection),
            heartbeats=recent_heartbeats.read(connection),
            now=state.now,
            per_second=_per_second(connection, state.now),
            used=usage.read(connection, since),
            used_since=None if counted is None else max(counted, since),
            forecast=usage.present_forecast(connection, state),
        )


def _per_second(connection: sa.Connection, now: dt.datetime) -> float:
    """Return the rate of the last minute; where it has very many messages, that of the latest of them."""
    recent = sa.select(messages.c.sent_at).where(messages.c.sent_at > now - _RATE_WINDOW)
    latest = recent.order_by(messages.c.sent_at.desc()).limit(_MOST_COUNTED).subquery()
    row = connection.execute(sa.select(sa.func.count().label("n"), sa.func.min(latest.c.sent_at).label("first"))).one()
    seconds = _RATE_WINDOW.total_seconds()
    if row.n == _MOST_COUNTED:
        seconds = max(1.0, (now - row.first).total_seconds())
    return float(row.n) / seconds


def hold_since(state: AccountState) -> dt.datetime | None:
    """Return when the account's hold began; None if it is not held."""
    since = [each for each in (state.operator_hold_at, state.hold_since) if each is not None]
    return min(since, default=None)


def oldest_due(connection: sa.Connection) -> dt.datetime | None:
    """Return the earliest due time of a queued message, with one index look-up for each priority."""
    found = [claims.first_due(connection, priority) for priority in Priority]
    return min((each.due_at for each in found if each is not None), default=None)
