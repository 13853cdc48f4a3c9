"""Erase phone and text of final messages after `SMSCLICK_RETENTION_DAYS`; their record stays."""

import datetime as dt
import threading
import time

import sqlalchemy as sa

from smsclick.columns import db_now
from smsclick.contract import messages
from smsclick.database import Database
from worker import heartbeat

BATCH = 1000
"""Messages of one transaction: tens of milliseconds, in which nothing but those rows is locked."""

SECONDS = 300.0
"""How long one tick goes on; the next one finds the rest. Far more than an hour's messages at full speed."""


def erase(database: Database, days: int, *, stopping: threading.Event | None = None, seconds: float = SECONDS) -> int:
    """Erase in short transactions and rest after each as long as it took, so that others come first.

    Args:
        database: where they are.
        days: how long a message must have been final; 0 keeps everything.
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
            count = erase_batch(connection, days)
        erased += count
        now = time.monotonic()
        if count < BATCH or now >= end or stopping.wait(now - began):
            return erased


def erase_batch(connection: sa.Connection, days: int) -> int:
    """Erase up to `BATCH` messages, the oldest first; returns how many. Those that others hold are passed over."""
    now = connection.execute(sa.select(db_now())).scalar_one()
    # The index's order. PostgreSQL wants both columns said, or it sorts all that wait to be erased, for each batch;
    # MariaDB sorts where both are.
    both = connection.dialect.name == "postgresql"
    order = (messages.c.erased_at, messages.c.final_at) if both else (messages.c.final_at,)
    ids = connection.scalars(
        sa.select(messages.c.id)
        .where(
            messages.c.erased_at.is_(None),
            messages.c.final_at < now - dt.timedelta(days=days),
            messages.c.due_at.is_(None),
        )
        .order_by(*order)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    ).all()
    if ids:
        connection.execute(
            sa.update(messages).where(messages.c.id.in_(ids)).values(phone="", text="", reply=None, erased_at=now)
        )
    return len(ids)
