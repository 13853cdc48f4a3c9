"""Erase phone and text of final messages after `SMSCLICK_RETENTION_DAYS`; their record stays."""

import datetime as dt

import sqlalchemy as sa

from smsclick.columns import db_now
from smsclick.contract import messages
from smsclick.database import Database
from worker import heartbeat

_BATCH = 1000


def erase(database: Database, days: int, *, batches: int = 100) -> int:
    """Erase in short transactions, at most `batches` of them; returns how many messages. 0 days keeps everything."""
    with database.begin() as connection:
        heartbeat.forget(connection)
    if days == 0:
        return 0
    erased = 0
    for _ in range(batches):
        count = _erase_batch(database, days)
        erased += count
        if count < _BATCH:
            break
    return erased


def _erase_batch(database: Database, days: int) -> int:
    with database.begin() as connection:
        now = connection.execute(sa.select(db_now())).scalar_one()
        ids = connection.scalars(
            sa.select(messages.c.id)
            .where(
                messages.c.erased_at.is_(None),
                messages.c.final_at < now - dt.timedelta(days=days),
                messages.c.due_at.is_(None),
            )
            .order_by(messages.c.final_at)
            .limit(_BATCH)
            .with_for_update(skip_locked=True)
        ).all()
        if ids:
            connection.execute(
                sa.update(messages).where(messages.c.id.in_(ids)).values(phone="", text="", reply=None, erased_at=now)
            )
        return len(ids)
