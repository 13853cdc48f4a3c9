"""Read the figures of `smsclick stats`: messages by state, the oldest due message, hold, balance, open incidents."""

import dataclasses
import datetime as dt

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._database.engine import Database
from smsclick.contract import Priority, State, messages
from worker.account import holds
from worker.account.holds import AccountState
from worker.lifecycle import message_rows
from worker.operator import counting, open_incidents, recent_heartbeats
from worker.operator.counting import Counts
from worker.operator.open_incidents import Incident
from worker.operator.recent_heartbeats import Heartbeat


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
    """

    counts: Counts
    oldest_due_seconds: float | None
    account_state: AccountState
    incidents: list[Incident]
    heartbeats: list[Heartbeat]
    now: dt.datetime


def read(database: Database) -> Stats:
    """Return the figures; each query is bounded, so the cost does not grow with the table."""
    with database.read() as connection:
        state = holds.read(connection)
        oldest = _oldest_due(connection)
        return Stats(
            counts=counting.count(connection),
            oldest_due_seconds=None if oldest is None else (state.now - oldest).total_seconds(),
            account_state=state,
            incidents=open_incidents.read(connection),
            heartbeats=recent_heartbeats.read(connection),
            now=state.now,
        )


def hold_since(state: AccountState) -> dt.datetime | None:
    """Return when the account's hold began; None if it is not held."""
    since = [each for each in (state.operator_hold_at, state.hold_since) if each is not None]
    return min(since, default=None)


def _oldest_due(connection: sa.Connection) -> dt.datetime | None:
    """Return the earliest due time of a queued message, with one index look-up for each priority."""
    found = [
        connection.scalar(
            sa.select(messages.c.due_at)
            .where(
                message_rows.in_state(State.QUEUED),
                messages.c.priority == sa.literal(int(priority), literal_execute=True),
                messages.c.due_at <= db_now(),
            )
            .order_by(messages.c.due_at)
            .limit(1)
        )
        for priority in Priority
    ]
    return min((each for each in found if each is not None), default=None)
