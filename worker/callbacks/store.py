"""The rows of `smsclick_callbacks`: which are due, claims, results, retention.

A claim moves `due_at` ahead by a lease and adds one to `tries`. A result is stored only while the row is not final;
a postponement also only while `tries` is the claim's own, so that a process whose lease ended changes nothing.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._database.engine import Fault, fault_of
from smsclick._values.times import iso
from smsclick.contract import callbacks, messages
from worker.alerting import incidents
from worker.alerting.details import made
from worker.alerting.wording import DetailCode
from worker.callbacks.call import Acknowledged, Call, Ended
from worker.metrics import tallies
from worker.sql import bulk, readable
from worker.sql.now import database_now

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from smsclick._database.engine import Database
    from worker.callbacks.failures import Failure

LEASE_SECONDS = 60.0
"""A claim ends after this time; the calls of a lost process are then made again."""

BEGIN_WITHIN_SECONDS = 30.0
"""A call must begin this soon after its claim, so that it ends before the claim does."""

BLOCKED_WAIT_SECONDS = 1.0
"""The least wait of an event that must not overtake an earlier one of its message."""

TALLY = "callbacks"
DELIVERED = "delivered"
GIVEN_UP = "given_up"
"""What `worker.metrics.tallies` counts of callbacks, and its labels."""

_RECEIVERS_PER_LOOK = 256
_ROWS_PER_PURGE = 1000
_INCIDENT = "callback_failed"
_SUBJECT_CHARACTERS = 40
_WORDS_CHARACTERS = 300


def due(connection: sa.Connection) -> bool:
    """Whether a callback may be due. A look at many receivers is bounded: True where it has not seen all of them."""
    found, more = due_receivers(connection)
    return bool(found) or more is not None


def due_receivers(connection: sa.Connection, after: str = "") -> tuple[list[str], str | None]:
    """The receivers that have due rows, by one look into the index for each receiver that has rows at all.

    Args:
        connection: to read from.
        after: start behind this receiver.

    Returns:
        The due ones of at most `_RECEIVERS_PER_LOOK`, and the last receiver looked at, or None where there are no more.
    """
    now = database_now(connection)
    found: list[str] = []
    last = after
    for _ in range(_RECEIVERS_PER_LOOK):
        row = connection.execute(
            sa.select(callbacks.c.receiver, callbacks.c.due_at)
            .where(callbacks.c.receiver > last)
            .order_by(callbacks.c.receiver, callbacks.c.due_at)
            .limit(1)
        ).first()
        if row is None:
            return found, None
        last = row.receiver
        if row.due_at <= now:
            found.append(last)
    return found, last


def claim(connection: sa.Connection, receiver: str, limit: int) -> tuple[list[Call], bool]:
    """Claim due rows of a receiver for `LEASE_SECONDS`.

    A row whose message has an earlier one that is not final is postponed: a message's events go in order.

    Args:
        connection: in a transaction; the claim holds from its commit on.
        receiver: whose rows.
        limit: how many rows to look at.

    Returns:
        The claimed calls, and whether rows were postponed, so that another look may find others.
    """
    rows = connection.execute(
        sa.select(callbacks, db_now().label("now"))
        .where(callbacks.c.receiver == receiver, callbacks.c.due_at <= db_now())
        .order_by(callbacks.c.due_at, callbacks.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    if not rows:
        return [], False
    now = rows[0].now
    begin_by = time.monotonic() + BEGIN_WITHIN_SECONDS
    firsts = _first_events(connection, {row.message_id for row in rows})
    calls, blocked = [], []
    about = _message_fields(connection, {row.message_id for row in rows})
    for row in rows:
        first_id, first_due = firsts[row.message_id]
        if first_id != row.id:
            later = max(first_due, now + dt.timedelta(seconds=BLOCKED_WAIT_SECONDS))
            blocked.append({"b_id": row.id, "due_at": later})
            continue
        fields = about[row.message_id]
        head = {
            "id": row.message_id,
            "key": fields.key,
            "reference": fields.reference,
            "created_at": iso(fields.created_at),
        }
        calls.append(
            Call(
                id=row.id,
                event_id=row.event_id,
                message_id=row.message_id,
                type=row.type,
                target=row.target,
                receiver=row.receiver,
                tries=row.tries + 1,
                created_at=row.created_at,
                age_seconds=(now - row.created_at).total_seconds(),
                data=head | json.loads(row.data),
                reply=fields.reply,
                begin_by=begin_by,
            )
        )
    if calls:
        connection.execute(
            sa.update(callbacks)
            .where(callbacks.c.id.in_([call.id for call in calls]))
            .values(due_at=now + dt.timedelta(seconds=LEASE_SECONDS), tries=callbacks.c.tries + 1)
        )
    bulk.update(connection, callbacks, {"id": "b_id"}, blocked)
    return calls, bool(blocked)


def release(connection: sa.Connection, ids: Sequence[int]) -> None:
    """End the claims of calls that have not begun: their rows are due, and the try does not count."""
    connection.execute(
        sa.update(callbacks)
        .where(callbacks.c.id.in_(ids), callbacks.c.receiver.is_not(None))
        .values(due_at=db_now(), tries=callbacks.c.tries - 1)
    )


def record(connection: sa.Connection, ended: Sequence[Ended]) -> None:
    """Store how calls ended, and report or close the incidents of their receivers.

    Args:
        connection: in a transaction.
        ended: calls with their outcomes, and what becomes of them.
    """
    now = database_now(connection)
    # Also where the claim is another process's by now: the receiver has the event.
    acknowledged = [each.call for each in ended if isinstance(each.outcome, Acknowledged)]
    _finish(connection, acknowledged, now, delivered_at=now, failed_at=None, last_error=None)
    for each in ended:
        if isinstance(each.outcome, Acknowledged):
            continue
        if each.wait_seconds is None:
            words = each.outcome.why.words[:_WORDS_CHARACTERS]
            _finish(connection, [each.call], now, delivered_at=None, failed_at=now, last_error=words)
        else:
            _postpone(connection, each.call, now + dt.timedelta(seconds=each.wait_seconds), each.outcome.why)
    for receiver in {call.receiver for call in acknowledged}:
        incidents.close(connection, _INCIDENT, subject=_subject(receiver))
    for each in ended:
        if each.needs_incident and not isinstance(each.outcome, Acknowledged):
            call, why = each.call, each.outcome.why.detail
            detail = made(DetailCode.RECEIVER, receiver=call.receiver[:100], why=why, id=call.message_id)
            incidents.report(connection, _INCIDENT, subject=_subject(call.receiver), detail=detail)


def purge(database: Database, days: int = 30, *, batches: int = 100) -> int:
    """Delete final rows that are older than `days`, oldest first, in short transactions.

    Args:
        database: where the rows are.
        days: how long a final row is kept.
        batches: the most transactions.

    Returns:
        How many rows were deleted.
    """
    purged = 0
    after: int | None = 0
    for _ in range(batches):
        if after is None:
            break
        start = after
        count, after = database.transact(lambda connection, start=start: _purge_batch(connection, days, start))  # type: ignore[misc]
        purged += count
    return purged


def _purge_batch(connection: sa.Connection, days: int, after: int) -> tuple[int, int | None]:
    """Delete the old final ones of the next rows.

    Returns:
        How many, and the last row looked at, or None where no later row can be old enough.
    """
    bound = database_now(connection) - dt.timedelta(days=days)
    # Rows that are not final stay: they wait for their receiver or for an operator.
    rows = connection.execute(
        sa.select(callbacks.c.id, callbacks.c.created_at, callbacks.c.due_at)
        .where(callbacks.c.id > after)
        .order_by(callbacks.c.id)
        .limit(_ROWS_PER_PURGE)
    ).all()
    old = [row.id for row in rows if row.due_at is None and row.created_at < bound]
    if old:
        connection.execute(sa.delete(callbacks).where(callbacks.c.id.in_(old)))
    more = len(rows) == _ROWS_PER_PURGE and rows[-1].created_at < bound
    return len(old), rows[-1].id if more else None


def _first_events(connection: sa.Connection, message_ids: Collection[int]) -> dict[int, tuple[int, dt.datetime]]:
    """For each message, its first row that is not final, and when it is due."""
    rows = connection.execute(
        sa.select(callbacks.c.message_id, callbacks.c.id, callbacks.c.due_at)
        .where(callbacks.c.message_id.in_(message_ids), callbacks.c.receiver.is_not(None))
        .order_by(callbacks.c.id.desc())
    )
    return {row.message_id: (row.id, row.due_at) for row in rows}


def _message_fields(connection: sa.Connection, message_ids: Collection[int]) -> dict[int, Any]:
    """For each message, the fields that its events show."""
    columns = [messages.c[name] for name in ("id", "key", "reference", "created_at", "reply")]
    query = sa.select(*columns).where(messages.c.id.in_(message_ids))
    try:
        with connection.begin_nested():
            return {row.id: row for row in connection.execute(query)}
    except Exception as error:
        if fault_of(error) is not Fault.ROW:
            raise
    # One row that cannot be read must not hold up the events of the others; its own events show what can be read.
    found = readable.read(connection, message_ids, columns)
    return {
        each: SimpleNamespace(
            **{name: readable.shown(value) for name, value in values.items() if name != "created_at"},
            created_at=values["created_at"] if isinstance(values["created_at"], dt.datetime) else None,
        )
        for each, values in found.items()
    }


def _finish(connection: sa.Connection, calls: Sequence[Call], now: dt.datetime, **values: object) -> None:
    """Make rows final, and count them; the next events of their messages become due."""
    if not calls:
        return
    ended = connection.execute(
        sa.update(callbacks)
        .where(callbacks.c.id.in_([call.id for call in calls]), callbacks.c.delivered_at.is_(None))
        .values(due_at=None, receiver=None, **values)
    )
    kind = DELIVERED if values["failed_at"] is None else GIVEN_UP
    tallies.add(connection, {(TALLY, kind): ended.rowcount})
    _move_later_events(connection, calls, now)


def _postpone(connection: sa.Connection, call: Call, until: dt.datetime, why: Failure) -> None:
    """Try a row again later, and the later events of its message with it; only while the claim is still this call's."""
    postponed = connection.execute(
        sa.update(callbacks)
        .where(callbacks.c.id == call.id, callbacks.c.tries == call.tries, callbacks.c.receiver.is_not(None))
        .values(due_at=until, last_error=why.words[:_WORDS_CHARACTERS])
    )
    if postponed.rowcount:
        _move_later_events(connection, [call], until)


def _move_later_events(connection: sa.Connection, calls: Sequence[Call], due_at: dt.datetime) -> None:
    """Set the due time of the other rows of these messages that are not final: a message's first event goes first."""
    connection.execute(
        sa.update(callbacks)
        .where(
            callbacks.c.message_id.in_([call.message_id for call in calls]),
            callbacks.c.receiver.is_not(None),
            callbacks.c.id.not_in([call.id for call in calls]),
        )
        .values(due_at=due_at)
    )


def _subject(receiver: str) -> str:
    """A receiver as an incident's subject, which has `_SUBJECT_CHARACTERS`."""
    if len(receiver) <= _SUBJECT_CHARACTERS:
        return receiver
    return f"{receiver[:31]}~{hashlib.sha256(receiver.encode()).hexdigest()[:8]}"
