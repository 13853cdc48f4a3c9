"""Moves the times of rows that were written before the database's clock was set.

- The clock was set forward by S seconds: leases, and the waits of unknown attempts, would end S seconds too early. So S
  seconds are added to them. All other due times come too early as well, which does no harm.
- The clock was set back by S seconds: each row that waits would wait S seconds longer. So S seconds are subtracted from
  its due time.

Leases and unknown attempts are moved in the transaction that notices the step, before any other step reads them. The
other rows are moved after that, in batches.

A row has no mark that says whether it was written before the clock was set; its time shows it. After a step forward,
times before `now - S` are old. After a step back, times in the future are old, and so are times before the last reading
without a step. If this is not certain, the row is not changed.
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
"""How many open attempts of a state are moved in one transaction.

If there are more, no absence counts until `SMSCLICK_SETTLE_SECONDS` have passed.
"""

_BATCH = 1000
_FEW = 5000

_STAGES = (State.QUEUED, State.SENT, State.UNKNOWN, State.UNDETERMINED, State.DELIVERED)
"""The states whose due times are moved after a step back, in this order."""


def adjust(connection: sa.Connection, now: dt.datetime, step: float, unwatched: float | None) -> bool:
    """Move leases, the waits of unknown attempts, and the times in small tables.

    Args:
        connection: in a transaction.
        now: by the database's clock, after the step.
        step: seconds by which it was set.
        unwatched: seconds since the last reading before the step; None if that is not known.

    Returns:
        False if there were too many open attempts to move them all.
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
        # After a step back the begin is moved too, so that the attempt does not begin after its end. After a step
        # forward it is kept: the span from the old begin to the moved end contains the attempt by both clocks.
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
    """Return whether this time was written before the clock was set by `delta`."""
    if delta > dt.timedelta(0):
        return stamped <= now - delta
    return stamped > now or (unwatched is not None and stamped < now - dt.timedelta(seconds=unwatched))


def _adjust_few(connection: sa.Connection, now: dt.datetime, delta: dt.timedelta) -> None:
    """Move the times in small tables after a step back, if they are in the future, so that nothing waits longer."""
    # End the current measurement of the report's lag: it would include the step.
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
    """Return the values of the clock's row with which the shift of all other due times begins."""
    # If an earlier shift has not ended, its amount is added, and the shift begins again with the first state.
    left = row.shift_ms if row.shift_stage is not None else 0
    return {"shift_ms": left + round(step * 1000), "shift_stage": 0, "shift_after": now}


def shift_batch(connection: sa.Connection, row: sa.Row[Any]) -> tuple[int, dict[str, object]]:
    """Move a batch of due times that are in the future.

    A moved time is earlier than the times of the rows that follow, so no row is moved twice.

    Args:
        connection: in a transaction.
        row: the clock's row, locked.

    Returns:
        How many rows were moved, and the new values of the clock's row.
    """
    delta = dt.timedelta(milliseconds=row.shift_ms)
    found = connection.execute(
        sa.select(messages.c.id, messages.c.due_at, messages.c.send_at)
        .where(message_rows.in_state(_STAGES[row.shift_stage]), messages.c.due_at > row.shift_after)
        .order_by(messages.c.due_at)
        .limit(_BATCH)
    ).all()
    # A message with `send_at` keeps its time: the producer gave it, and it was not computed from the database's clock.
    rows = [each for each in found if each.send_at != each.due_at]
    bulk.update(
        connection,
        messages,
        {"id": "b_id", "due_at": "b_due"},
        [{"b_id": each.id, "b_due": each.due_at, "due_at": each.due_at + delta} for each in rows],
    )
    if len(found) == _BATCH:
        # More rows may have the same time as the last one, so the next batch begins with that time. If no row of this
        # batch was moved, it begins after that time, because the same rows would be read again.
        last = found[-1].due_at
        return len(rows), {"shift_after": last - dt.timedelta(microseconds=1) if rows else last}
    if row.shift_stage + 1 < len(_STAGES):
        return len(rows), {"shift_stage": row.shift_stage + 1, "shift_after": row.seen_at}
    return len(rows), {"shift_stage": None, "shift_after": None, "shift_ms": None}
