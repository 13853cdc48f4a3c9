"""Erase phone and text of final messages after `SMSCLICK_RETENTION_DAYS`; their record stays.

`undetermined` messages count as final from the end of their tracking window on. What a provider said goes with the
text, because it may repeat a part of it (`smsclick.provider._answers.echo` takes out what it recognises).
"""

import datetime as dt
import threading
import time

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick._values.causes import Cause, stored_as
from smsclick.contract import State, events, messages
from worker.lifecycle import message_rows
from worker.sql import heartbeat
from worker.sql.now import database_now

BATCH = 1000
"""Messages of one transaction: tens of milliseconds, in which nothing but those rows is locked."""

SECONDS = 300.0
"""How long one tick goes on; the next one finds the rest. Far more than an hour's messages at full speed."""


_QUOTED = stored_as(Cause.ANSWERED, Cause.LATE_ANSWER, Cause.INVALID)
"""Causes of events whose description may hold the provider's words, or a part of the phone."""


def erase(
    database: Database,
    days: int,
    *,
    tracking_seconds: float = 604_800.0,
    stopping: threading.Event | None = None,
    seconds: float = SECONDS,
) -> int:
    """Erase in short transactions and rest after each as long as it took, so that others come first.

    Args:
        database: where they are.
        days: how long a message must have been final; 0 keeps everything.
        tracking_seconds: after which a message without a final status counts as final here.
        stopping: ends it after the batch at hand.
        seconds: begins no batch after this.

    Returns:
        How many messages were erased.
    """
    with database.begin() as connection:
        heartbeat.forget(connection)
    if days == 0:
        return 0
    stopping = stopping or threading.Event()
    end = time.monotonic() + seconds
    erased = 0
    while True:
        began = time.monotonic()
        with database.begin() as connection:
            count = erase_batch(connection, days, tracking_seconds)
        erased += count
        now = time.monotonic()
        if count < BATCH or now >= end or stopping.wait(now - began):
            return erased


def erase_batch(connection: sa.Connection, days: int, tracking_seconds: float = 604_800.0) -> int:
    """Erase up to `BATCH` messages, the oldest first; returns how many. Those that others hold are passed over."""
    now = database_now(connection)
    until = now - dt.timedelta(days=days)
    ids = _final(connection, until, BATCH)
    ids += _undetermined(connection, until - dt.timedelta(seconds=tracking_seconds), BATCH - len(ids))
    if ids:
        nothing = {"phone": "", "text": "", "reply": None, "last_error": None, "erased_at": now}
        connection.execute(sa.update(messages).where(messages.c.id.in_(ids)).values(**nothing))
        quoted = sa.update(events).where(
            events.c.message_id.in_(ids), events.c.cause.in_(_QUOTED), events.c.description.is_not(None)
        )
        connection.execute(quoted.values(description=None))
    return len(ids)


def _final(connection: sa.Connection, until: dt.datetime, limit: int) -> list[int]:
    # The index's order. PostgreSQL wants both columns said, or it sorts all that wait to be erased, for each batch;
    # MariaDB sorts where both are.
    both = connection.dialect.name == "postgresql"
    order = (messages.c.erased_at, messages.c.final_at) if both else (messages.c.final_at,)
    query = sa.select(messages.c.id).where(
        messages.c.erased_at.is_(None), messages.c.final_at < until, messages.c.due_at.is_(None)
    )
    return list(connection.scalars(query.order_by(*order).limit(limit).with_for_update(skip_locked=True)))


def _undetermined(connection: sa.Connection, until: dt.datetime, limit: int) -> list[int]:
    """Also while they are still asked for now and then: a status needs no text, and a later reply is not stored."""
    both = connection.dialect.name == "postgresql"
    order = (messages.c.erased_at, messages.c.sent_at) if both else (messages.c.sent_at,)
    query = sa.select(messages.c.id).where(
        message_rows.in_state(State.UNDETERMINED), messages.c.erased_at.is_(None), messages.c.sent_at < until
    )
    return list(connection.scalars(query.order_by(*order).limit(limit).with_for_update(skip_locked=True)))
