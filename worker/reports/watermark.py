"""The rows of `smsclick_watermarks`: what is remembered between two readings of the provider's reports.

A row has the name of what is read: a bracket of followed messages, or the reports around unknown attempts. Its columns
say when the next reading is due, how far the last one came, and how many rows per second reports of that kind had.
"""

import datetime as dt

import sqlalchemy as sa

from smsclick.contract import watermarks
from worker.reports import windows
from worker.sql.insert_once import insert_once


def create(connection: sa.Connection, name: str) -> None:
    """Insert a watermark, unless another process inserts it at the same time."""
    insert_once(connection, watermarks, {"name": name})


def update(connection: sa.Connection, name: str, **values: object) -> int:
    """Write columns of a watermark; returns how many rows of that name exist: 0 or 1."""
    return connection.execute(sa.update(watermarks).where(watermarks.c.name == name).values(**values)).rowcount


def upsert(connection: sa.Connection, name: str, **values: object) -> None:
    """Write columns of a watermark, which is created if it does not exist."""
    if not update(connection, name, **values):
        create(connection, name)
        update(connection, name, **values)


def density(connection: sa.Connection, name: str) -> float | None:
    """Return the rows per second of the reports of this name; None before the first one was read."""
    return connection.scalar(sa.select(watermarks.c.density).where(watermarks.c.name == name))


def record_density(connection: sa.Connection, name: str, rows: int, span: dt.timedelta) -> None:
    """Remember how many rows a report of this span had."""
    upsert(connection, name, density=windows.updated_density(density(connection, name), rows, span))
