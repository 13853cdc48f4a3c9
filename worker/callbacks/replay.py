"""What an operator sees and does of callbacks: list those that wait or were given up, and have them delivered again.

A replay gives a callback one more call at once, and further tries only while it is younger than
`policy.GIVE_UP_AFTER_SECONDS`. Its event keeps its id. It may arrive after later events of its message, so a receiver
compares the `timestamp`. The address is not shown, because it may hold a secret; its host or queue is.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._values.callback import parse_callback
from smsclick.contract import callbacks
from smsclick.errors import InvalidField
from worker.callbacks.store import LEASE_SECONDS
from worker.lifecycle import effects
from worker.lifecycle.callback_outbox import MISNAMED
from worker.lifecycle.effects import Effects
from worker.sql import audit
from worker.sql.audit import Act
from worker.sql.now import database_now

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from smsclick._database.engine import Database

ROWS_PER_TRANSACTION: Final = 500
_MOST_OF_A_MESSAGE: Final = 100


class CallbackState(enum.StrEnum):
    """What became of a callback so far."""

    WAITING = "waiting"
    GIVEN_UP = "given-up"
    DELIVERED = "delivered"


@dataclasses.dataclass(frozen=True, slots=True)
class StoredCallback:
    """A row of `smsclick_callbacks` as a person sees it.

    Attributes:
        id: of the row.
        event_id: what its receiver gets as the event's id.
        message_id: whose change it reports.
        type: of the event, like `message.delivered`.
        receiver: the host or queue.
        state: what became of it.
        tries: how many calls were made.
        created_at: when the message changed.
        next_at: the next try, or the end of the present one; None if it is final.
        ended_at: when it was delivered or given up.
        last_error: why the latest call failed.
    """

    id: int
    event_id: str
    message_id: int
    type: str
    receiver: str
    state: CallbackState
    tries: int
    created_at: dt.datetime
    next_at: dt.datetime | None
    ended_at: dt.datetime | None
    last_error: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """Which callbacks are meant; one must satisfy every field that is given. Delivered ones are never meant.

    Attributes:
        ids: of rows; None for all.
        states: `WAITING`, `GIVEN_UP` or both.
        receivers: hosts or queues, as they are listed; empty for all.
        message_id: of this message.
        since: of changes at this time or later.
        until: of changes at this time or earlier.
    """

    ids: Collection[int] | None = None
    states: Collection[CallbackState] = (CallbackState.WAITING, CallbackState.GIVEN_UP)
    receivers: Collection[str] = ()
    message_id: int | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None


def of_message(connection: sa.Connection, message_id: int) -> list[StoredCallback]:
    """Return the callbacks of a message, oldest first, at most 100."""
    query = sa.select(callbacks).where(callbacks.c.message_id == message_id).order_by(callbacks.c.id)
    return [_stored(row) for row in connection.execute(query.limit(_MOST_OF_A_MESSAGE))]


def listed(database: Database, wanted: Wanted) -> Iterator[StoredCallback]:
    """Yield the callbacks that are meant, oldest first, in batches with a transaction each."""
    for batch in _batches(database, wanted):
        yield from batch


def given_up(database: Database, *, limit: int) -> list[StoredCallback]:
    """Return the callbacks that were given up, the latest first, at most `limit`."""
    query = sa.select(callbacks).where(callbacks.c.failed_at.is_not(None)).order_by(callbacks.c.failed_at.desc())
    with database.read() as connection:
        return [_stored(row) for row in connection.execute(query.limit(limit))]


def replay(database: Database, wanted: Wanted, *, actor: str, progress: Callable[[int], None] = lambda _: None) -> int:
    """Have callbacks delivered again: at once those that were given up, and those that wait for their next try.

    Args:
        database: where they are.
        wanted: which ones.
        actor: who does it, for the audit record.
        progress: is called after each transaction with how many were replayed so far.

    Returns:
        How many were replayed. A callback is left alone if a call is under way, or if it has no usable address.
    """
    replayed = 0
    record = audit.begin(database, Act.CALLBACK_REPLAY, actor)
    for batch in _batches(database, wanted):
        ids = [each.id for each in batch]
        replayed += database.transact(functools.partial(_replay, ids=ids, states=wanted.states, record=record))
        progress(replayed)
    return replayed


def _replay(connection: sa.Connection, ids: Sequence[int], states: Collection[CallbackState], record: int) -> int:
    now = database_now(connection)
    rows = connection.execute(
        sa.select(callbacks).where(callbacks.c.id.in_(ids)).order_by(callbacks.c.id).with_for_update()
    ).all()
    by_receiver = defaultdict[str, list[int]](list)
    claimed_until = now + dt.timedelta(seconds=LEASE_SECONDS)
    for row in rows:
        stored = _stored(row)
        due_later = stored.next_at is not None and stored.next_at > claimed_until
        again = stored.state is CallbackState.GIVEN_UP or (stored.state is CallbackState.WAITING and due_later)
        if again and stored.state in states and stored.receiver != MISNAMED:
            by_receiver[stored.receiver].append(row.id)
    for receiver, chosen in by_receiver.items():
        connection.execute(
            sa.update(callbacks)
            .where(callbacks.c.id.in_(chosen))
            .values(receiver=receiver, due_at=db_now(), failed_at=None, tries=0)
        )
    replayed = sum(map(len, by_receiver.values()))
    audit.add(connection, record, replayed)
    effects.note(connection, Effects(callbacks=bool(replayed)))
    return replayed


def _batches(database: Database, wanted: Wanted) -> Iterator[list[StoredCallback]]:
    last = 0
    with database.read() as connection:
        end = connection.scalar(sa.select(sa.func.max(callbacks.c.id))) or 0
    while True:
        query = sa.select(callbacks).where(callbacks.c.id > last, callbacks.c.id <= end, *_conditions(wanted))
        with database.read() as connection:
            rows = connection.execute(query.order_by(callbacks.c.id).limit(ROWS_PER_TRANSACTION)).all()
        found = [_stored(row) for row in rows]
        # A final row's receiver is only in its address, so SQL cannot compare it.
        yield [each for each in found if not wanted.receivers or each.receiver in wanted.receivers]
        if len(rows) < ROWS_PER_TRANSACTION:
            return
        last = rows[-1].id


def _conditions(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    is_state = {
        CallbackState.WAITING: callbacks.c.receiver.is_not(None),
        CallbackState.GIVEN_UP: callbacks.c.failed_at.is_not(None),
    }
    found: list[sa.ColumnElement[bool]] = [sa.or_(sa.false(), *(is_state[each] for each in wanted.states))]
    if wanted.ids is not None:
        found.append(callbacks.c.id.in_(wanted.ids))
    if wanted.message_id is not None:
        found.append(callbacks.c.message_id == wanted.message_id)
    if wanted.since is not None:
        found.append(callbacks.c.created_at >= wanted.since)
    if wanted.until is not None:
        found.append(callbacks.c.created_at <= wanted.until)
    return found


def _stored(row: Any) -> StoredCallback:  # noqa: ANN401 - a Row, whose columns no type can name
    state = CallbackState.GIVEN_UP if row.failed_at is not None else CallbackState.WAITING
    if row.delivered_at is not None:
        state = CallbackState.DELIVERED
    return StoredCallback(
        id=row.id,
        event_id=row.event_id,
        message_id=row.message_id,
        type=row.type,
        receiver=_receiver(row.target) if row.receiver is None else row.receiver,
        state=state,
        tries=row.tries,
        created_at=row.created_at,
        next_at=row.due_at,
        ended_at=row.delivered_at or row.failed_at,
        last_error=row.last_error,
    )


def _receiver(target: str) -> str:
    try:
        return parse_callback(target).receiver
    except InvalidField:
        return MISNAMED
