"""Erase phone and text of final messages after `SMSCLICK_RETENTION_DAYS`; their record stays.

`undetermined` messages count as final from the end of their tracking window on. The provider's descriptions are erased
too, because they may repeat parts of the text (`smsclick.provider._answers.echo` removes only what it recognises).
"""

import datetime as dt
import threading
import time

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick.contract import State, messages
from worker.lifecycle import erasure, message_rows
from worker.sql import heartbeat
from worker.sql.now import database_now

MESSAGES_PER_TRANSACTION = 1000
"""Such a transaction takes tens of milliseconds and locks only those rows."""

LONGEST_TICK_SECONDS = 300.0
"""How long one tick may take; the next one finds the rest. An hour's messages at full speed take far less."""


def erase(
    database: Database,
    days: int,
    *,
    tracking_seconds: float = 604_800.0,
    stopping: threading.Event | None = None,
    seconds: float = LONGEST_TICK_SECONDS,
) -> int:
    """Erase in short transactions, with a pause after each that is as long as it took, so that other work goes first.

    Args:
        database: where they are.
        days: how long a message must have been final; 0 keeps everything.
        tracking_seconds: a message that was sent so many seconds ago counts as final even without a final status.
        stopping: when it is set, no further batch begins.
        seconds: no batch begins after so many seconds.

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
        if count < MESSAGES_PER_TRANSACTION or now >= end or stopping.wait(now - began):
            return erased


def erase_batch(connection: sa.Connection, days: int, tracking_seconds: float = 604_800.0) -> int:
    """Erase up to `MESSAGES_PER_TRANSACTION` messages, the oldest first; rows that are locked by others are skipped.

    Returns:
        How many were erased.
    """
    now = database_now(connection)
    until = now - dt.timedelta(days=days)
    ids = _final(connection, until, MESSAGES_PER_TRANSACTION)
    ids += _undetermined(
        connection, until - dt.timedelta(seconds=tracking_seconds), MESSAGES_PER_TRANSACTION - len(ids)
    )
    if ids:
        erasure.erase(connection, ids, now)
    return len(ids)


def _final(connection: sa.Connection, until: dt.datetime, limit: int) -> list[int]:
    # PostgreSQL reads the index in order only if the query orders by both of its columns; MariaDB only if it orders by
    # the second one alone. Otherwise they sort all messages that wait to be erased, for each batch.
    both = connection.dialect.name == "postgresql"
    order = (messages.c.erased_at, messages.c.final_at) if both else (messages.c.final_at,)
    query = sa.select(messages.c.id).where(
        messages.c.erased_at.is_(None), messages.c.final_at < until, messages.c.due_at.is_(None)
    )
    return list(connection.scalars(query.order_by(*order).limit(limit).with_for_update(skip_locked=True)))


def _undetermined(connection: sa.Connection, until: dt.datetime, limit: int) -> list[int]:
    """Undetermined messages whose tracking window ended before `until`.

    They are erased although they may still be tracked: a status needs no text, and a later reply is not stored.
    """
    both = connection.dialect.name == "postgresql"
    order = (messages.c.erased_at, messages.c.sent_at) if both else (messages.c.sent_at,)
    query = sa.select(messages.c.id).where(
        message_rows.in_state(State.UNDETERMINED), messages.c.erased_at.is_(None), messages.c.sent_at < until
    )
    return list(connection.scalars(query.order_by(*order).limit(limit).with_for_update(skip_locked=True)))
