"""The facts that decide what a message waits for, read in the caller's transaction; each query uses an index."""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa

from smsclick._values.causes import Cause, cause_of, stored_as
from smsclick._values.quiet_hours import QuietHours
from smsclick._values.zones import zones_of
from smsclick.contract import Priority, State, events, limits, messages
from smsclick.settings import Settings
from worker.account import account_state
from worker.account.account_state import AccountState
from worker.callbacks import replay
from worker.callbacks.replay import CallbackState, StoredCallback
from worker.lifecycle import message_rows
from worker.lifecycle.fingerprint import digits
from worker.monitoring.progress_checks import SWEEP
from worker.operator import recent_heartbeats
from worker.queue import odd_rows, optouts

MOST_AHEAD: Final = 1000
"""Messages ahead in the queue are counted up to this number."""

ALIVE_SECONDS: Final = 60.0
"""A worker whose last heartbeat is older makes no progress."""

TICKS_SECONDS: Final = 120.0
"""A sweep that came longer ago than this has stopped."""

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What the settings of the installation say about sending.

    Attributes:
        per_second: `SMSCLICK_MAX_PER_SECOND`; 0 is no limit.
        quiet: `SMSCLICK_QUIET_HOURS`.
    """

    per_second: float = 0.0
    quiet: QuietHours | None = None

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """The limits that the settings ask for."""
        return cls(settings.max_per_second, settings.quiet_hours)


NO_LIMITS: Final = Limits()


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """Everything that decides what a message waits for.

    Attributes:
        row: the message's columns by name.
        account: the account's row, with the time of the reading.
        last_cause: of its latest event, without answers that came late; None where it has none.
        flying: the message of equal content that is in flight; None where there is none.
        opted_out: whether its phone is never written to.
        quiet_until: the end of the quiet hours that hold it back; None where none do.
        workers: how many workers made progress just now.
        sweeps: whether the periodic sweep runs.
        ahead: due messages that go before it, at most `MOST_AHEAD`.
        per_second: the limit of calls a second; 0 is none.
        slots_until: calls are given out up to this time; None without a limit.
        callbacks: the latest of its callbacks.
        odd: why its row cannot be read; empty where it can.
    """

    row: Mapping[str, Any] = dataclasses.field(repr=False)
    account: AccountState
    last_cause: Cause | None = None
    flying: int | None = None
    opted_out: bool = False
    quiet_until: dt.datetime | None = None
    workers: int = 1
    sweeps: bool = True
    ahead: int = 0
    per_second: float = 0.0
    slots_until: dt.datetime | None = None
    callbacks: tuple[StoredCallback, ...] = ()
    odd: str = ""

    @property
    def now(self) -> dt.datetime:
        """The time of the reading, by the database's clock."""
        return self.account.now


def read(connection: sa.Connection, row: Mapping[str, Any], limits_of: Limits) -> Facts:
    """Read the facts about one message.

    Args:
        connection: in the read transaction in which `row` was read.
        row: all columns of the message by name.
        limits_of: what the settings say.
    """
    account = account_state.read(connection)
    faults = odd_rows.faults_of(dict(row))
    if faults:
        return Facts(row, account, odd=odd_rows.reason(faults))
    heartbeats = recent_heartbeats.read(connection)
    found = Facts(
        row,
        account,
        last_cause=_last_cause(connection, row["id"]),
        workers=sum(each.name.startswith("worker:") and each.age_seconds <= ALIVE_SECONDS for each in heartbeats),
        sweeps=any(each.name == SWEEP and each.age_seconds <= TICKS_SECONDS for each in heartbeats),
        callbacks=tuple(
            each
            for each in replay.of_message(connection, row["id"])
            if each.state in {CallbackState.WAITING, CallbackState.GIVEN_UP}
        ),
    )
    return _of_queue(connection, found, limits_of) if row["state"] == State.QUEUED else found


def _of_queue(connection: sa.Connection, found: Facts, limits_of: Limits) -> Facts:
    row, now = found.row, found.now
    phone = digits(row["phone"])
    low = row["priority"] == Priority.LOW
    quiet = limits_of.quiet if low else None
    return dataclasses.replace(
        found,
        flying=_flying(connection, row["waits_for"]),
        opted_out=bool(optouts.among(connection, [phone])),
        quiet_until=None if quiet is None else quiet.ends(now, zones_of(phone)),
        ahead=_ahead(connection, row, now) if row["due_at"] is not None and row["due_at"] <= now else 0,
        per_second=limits_of.per_second,
        slots_until=_slots_until(connection) if limits_of.per_second else None,
    )


def _last_cause(connection: sa.Connection, message_id: int) -> Cause | None:
    # A late answer can be stored as an event that does not change the message.
    query = sa.select(events.c.cause, events.c.description).where(
        events.c.message_id == message_id, events.c.cause.not_in(stored_as(Cause.LATE_ANSWER))
    )
    found = connection.execute(query.order_by(events.c.id.desc()).limit(1)).first()
    return None if found is None else cause_of(found.cause, found.description)


def _flying(connection: sa.Connection, fingerprint: str | None) -> int | None:
    if fingerprint is None:
        return None
    return connection.scalar(sa.select(messages.c.id).where(messages.c.wire_key == fingerprint))


def _slots_until(connection: sa.Connection) -> dt.datetime | None:
    """Up to when calls are given out; see `worker.account.rate_limit`."""
    next_at = connection.scalar(sa.select(limits.c.next_at).where(limits.c.name == "sendMsg"))
    return None if next_at is None else _EPOCH + dt.timedelta(microseconds=next_at)


def _ahead(connection: sa.Connection, row: Mapping[str, Any], now: dt.datetime) -> int:
    """Count what is due before it, one priority at a time, as the claims read the queue."""
    count = 0
    for priority in Priority:
        if priority > row["priority"] or count >= MOST_AHEAD:
            break
        # Of its own priority only what is due earlier; of higher ones all that is due.
        due = messages.c.due_at < row["due_at"] if priority == row["priority"] else messages.c.due_at <= now
        query = (
            sa.select(messages.c.id)
            .where(
                message_rows.in_state(State.QUEUED),
                messages.c.priority == sa.literal(int(priority), literal_execute=True),
                due,
            )
            .order_by(messages.c.due_at)
            .limit(MOST_AHEAD - count)
        )
        count += len(connection.scalars(query).all())
    return count
