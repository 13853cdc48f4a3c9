"""What a step of the database's clock means for rows that were stamped before it.

Forward by S seconds: leases and the waits of unknown attempts would end S seconds early, so they are prolonged by S.
All other due times come early, which does no harm. Back by S: everything that waits would wait S seconds longer, so its
due time is moved. Leases and unknown attempts are moved in the transaction that notices the step, before anything else
acts on them; the rest follows in batches.

A row does not say by which clock it was stamped, but its time does: after a step forward times before `now - S` are
old, after a step back times that lie ahead are old, and those from before the last good reading. In doubt a row stays.
"""

import datetime as dt
from typing import Any

import sqlalchemy as sa

from smsclick.contract import (
    ACCOUNT,
    State,
    accounts,
    alerts,
    budgets,
    callbacks,
    heartbeats,
    incidents,
    messages,
    watermarks,
)
from worker.lifecycle import message_rows
from worker.sql import bulk

ADJUSTED_AT_ONCE = 1000
"""Open attempts that are moved in one transaction; with more of them, no absence counts for a whole SETTLE window."""

_BATCH = 1000
_FEW = 5000

_STAGES = (State.QUEUED, State.SENT, State.UNKNOWN, State.UNDETERMINED, State.DELIVERED)
"""Whose due times are moved after a step back, one after the other."""


def adjust(connection: sa.Connection, now: dt.datetime, step: float, unwatched: float | None) -> bool:
    """Move leases and the waits of unknown attempts, and what each database has few of.

    Args:
        connection: in a transaction.
        now: by the database's clock, after the step.
        step: seconds by which it was set.
        unwatched: seconds since the last reading before the step; None: nobody knows.

    Returns:
        False where there were too many open attempts to move them all.
    """
    delta = dt.timedelta(seconds=step)
    columns = ("id", "state", "attempted_at", "unknown_since", "lease_until", "due_at")
    query = sa.select(*(messages.c[name] for name in columns)).where(messages.c.due_at.is_not(None))
    query = query.order_by(messages.c.due_at).limit(ADJUSTED_AT_ONCE + 1).with_for_update()
    found = [
        connection.execute(query.where(message_rows.in_state(state))).all() for state in (State.SENDING, State.UNKNOWN)
    ]
    changed = []
    for row in (row for rows in found for row in rows[:ADJUSTED_AT_ONCE]):
        stamped = row.attempted_at if row.state == State.SENDING else row.unknown_since
        if stamped is None or not _is_old(stamped, now, delta, unwatched):
            continue
        # After a step back also the begin, so that the span of the attempt keeps its order. After a step forward it
        # stays: the span holds the attempt by either clock.
        begin = row.attempted_at if delta > dt.timedelta(0) or row.attempted_at is None else row.attempted_at + delta
        is_lease = row.state == State.SENDING
        changed.append(
            {
                "b_id": row.id,
                "b_was": row.state,
                "attempted_at": begin,
                "unknown_since": None if row.unknown_since is None else row.unknown_since + delta,
                "lease_until": None if row.lease_until is None else row.lease_until + delta,
                "due_at": row.due_at + delta if is_lease else row.due_at,
            }
        )
    bulk.update(connection, messages, {"id": "b_id", "state": "b_was"}, changed)
    _adjust_few(connection, now, delta)
    return all(len(rows) <= ADJUSTED_AT_ONCE for rows in found)


def _is_old(stamped: dt.datetime, now: dt.datetime, delta: dt.timedelta, unwatched: float | None) -> bool:
    """Whether this time was read off the clock before it was set by `delta`."""
    if delta > dt.timedelta(0):
        return stamped <= now - delta
    return stamped > now or (unwatched is not None and stamped < now - dt.timedelta(seconds=unwatched))


def _adjust_few(connection: sa.Connection, now: dt.datetime, delta: dt.timedelta) -> None:
    """Tables of a few rows: what lies ahead after a step back comes as soon as without it."""
    # The lag that is being measured holds the step.
    connection.execute(sa.update(accounts).where(accounts.c.account == ACCOUNT).values(lag_id=None, lag_since=None))
    if delta > dt.timedelta(0):
        return
    for table, key, names in (
        (accounts, accounts.c.account, ("probe_at", "canary_until", "opened_at")),
        (watermarks, watermarks.c.name, ("due_at", "lease_until", "distrusted_until")),
        (budgets, budgets.c.name, ("at",)),
        (heartbeats, heartbeats.c.name, ("at",)),
    ):
        for row in connection.execute(sa.select(table).limit(_BATCH)).mappings().all():
            moved = {name: row[name] + delta for name in names if row[name] is not None and row[name] > now}
            if moved:
                connection.execute(sa.update(table).where(key == row[key.name]).values(**moved))
    for table, open_, order, columns in (
        (incidents, incidents.c.open_key.is_not(None), incidents.c.open_key, ("remind_at", "ends_at", "last_at")),
        (alerts, alerts.c.due_at > now, alerts.c.due_at, ("due_at", "claimed_until")),
        (callbacks, callbacks.c.receiver.is_not(None), callbacks.c.receiver, ("due_at",)),
    ):
        query = sa.select(table.c.id, *(table.c[name] for name in columns)).where(open_).order_by(order)
        for row in connection.execute(query.limit(_FEW)).mappings().all():
            moved = {name: row[name] + delta for name in columns if row[name] is not None and row[name] > now}
            if moved:
                connection.execute(sa.update(table).where(table.c.id == row["id"]).values(**moved))


def begin_shift(row: sa.Row[Any], step: float, now: dt.datetime) -> dict[str, object]:
    """The columns of the clock's row with which the shift of all other due times begins."""
    # One that is still under way is continued by this one, which begins from the start.
    left = row.shift_ms if row.shift_stage is not None else 0
    return {"shift_ms": left + round(step * 1000), "shift_stage": 0, "shift_after": now}


def shift_batch(connection: sa.Connection, row: sa.Row[Any]) -> tuple[int, dict[str, object]]:
    """Move a batch of due times that lie ahead; returns how many, and the columns of the clock's row from then on.

    Moved ones come to lie before the rows that follow, so none is moved twice.
    """
    delta = dt.timedelta(milliseconds=row.shift_ms)
    found = connection.execute(
        sa.select(messages.c.id, messages.c.due_at, messages.c.send_at)
        .where(message_rows.in_state(_STAGES[row.shift_stage]), messages.c.due_at > row.shift_after)
        .order_by(messages.c.due_at)
        .limit(_BATCH)
    ).all()
    # What was ordered for a certain time stays there: that is the producer's word and was never counted from now.
    rows = [each for each in found if each.send_at != each.due_at]
    bulk.update(
        connection,
        messages,
        {"id": "b_id", "due_at": "b_due"},
        [{"b_id": each.id, "b_due": each.due_at, "due_at": each.due_at + delta} for each in rows],
    )
    if len(found) == _BATCH:
        # Many may have the last one's time: they come next, unless none of these was to be moved.
        last = found[-1].due_at
        return len(rows), {"shift_after": last - dt.timedelta(microseconds=1) if rows else last}
    if row.shift_stage + 1 < len(_STAGES):
        return len(rows), {"shift_stage": row.shift_stage + 1, "shift_after": row.seen_at}
    return len(rows), {"shift_stage": None, "shift_after": None, "shift_ms": None}
