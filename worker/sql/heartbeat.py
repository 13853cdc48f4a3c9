"""Heartbeats that show progress, because a process can run and be stalled; and which process runs a tick."""

import datetime as dt

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._database.engine import Database
from smsclick.contract import heartbeats
from worker.sql.insert_once import insert_once
from worker.sql.now import database_now

_STALE = dt.timedelta(days=1)


def take(database: Database, name: str, every_seconds: float) -> bool:
    """Whether this tick is due; then this process runs it. Two beats, or a pile of ticks, cost one small query each.

    Args:
        database: where the heartbeats are.
        name: of the tick.
        every_seconds: its period; a tick that comes before half of it is over is passed over.
    """
    with database.begin() as connection:
        now = database_now(connection)
        updated = connection.execute(
            sa.update(heartbeats)
            .where(
                heartbeats.c.name == name,
                # One that lies ahead was written before the database's clock was set back.
                sa.or_(
                    heartbeats.c.at <= now - dt.timedelta(seconds=every_seconds / 2),
                    heartbeats.c.at > now + dt.timedelta(seconds=every_seconds),
                ),
            )
            .values(at=now, progress=heartbeats.c.progress + 1)
        )
        if updated.rowcount:
            return True
        known = connection.execute(sa.select(heartbeats.c.name).where(heartbeats.c.name == name)).first()
        return known is None and _insert(connection, name, 1)


def beat(database: Database, name: str, progress: int) -> None:
    """Note that a process got something done."""
    with database.begin() as connection:
        updated = connection.execute(
            sa.update(heartbeats).where(heartbeats.c.name == name).values(at=db_now(), progress=progress)
        )
        if not updated.rowcount:
            _insert(connection, name, progress)


def forget(connection: sa.Connection) -> None:
    """Delete the heartbeats of processes that ended long ago."""
    now = database_now(connection)
    connection.execute(sa.delete(heartbeats).where(heartbeats.c.at < now - _STALE))


def _insert(connection: sa.Connection, name: str, progress: int) -> bool:
    return insert_once(connection, heartbeats, {"name": name, "at": db_now(), "progress": progress})
