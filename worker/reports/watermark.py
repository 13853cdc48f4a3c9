"""What is remembered of the reports that were read, one row for each kind of reading: see `smsclick_watermarks`."""

import contextlib
import datetime as dt

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from smsclick.contract import watermarks
from worker.reports import windows


def make(connection: sa.Connection, name: str) -> None:
    """Make a watermark, unless another does at the same time."""
    with contextlib.suppress(IntegrityError), connection.begin_nested():
        connection.execute(sa.insert(watermarks).values(name=name))


def note(connection: sa.Connection, name: str, **values: object) -> int:
    """Write columns of a watermark; returns how many there are of that name."""
    return connection.execute(sa.update(watermarks).where(watermarks.c.name == name).values(**values)).rowcount


def density(connection: sa.Connection, name: str) -> float | None:
    """The rows for each second that reports of this name had, as far as is known."""
    return connection.scalar(sa.select(watermarks.c.density).where(watermarks.c.name == name))


def learn(connection: sa.Connection, name: str, rows: int, span: dt.timedelta) -> None:
    """Remember how dense a report was."""
    learned = windows.learned(density(connection, name), rows, span)
    if not note(connection, name, density=learned):
        make(connection, name)
        note(connection, name, density=learned)
