"""The values of each worker process as they are now: one row for each, which only that process writes."""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Final

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick.contract import worker_gauges
from worker.sql.insert_once import insert_once
from worker.sql.now import database_now

FRESH_SECONDS: Final = 60.0
"""A row that was not written for this long is of a process that has ended, or hangs."""

_KEPT: Final = dt.timedelta(hours=1)
_MOST_ROWS: Final = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Gauges:
    """The processes that wrote their row lately, and their values added up.

    Attributes:
        processes: how many.
        calls_allowed: how many calls may be in flight.
        calls_in_flight: how many are.
        results_waiting: results that are not recorded yet.
    """

    processes: int
    calls_allowed: int
    calls_in_flight: int
    results_waiting: int


def write(connection: sa.Connection, worker: str, values: Mapping[str, int]) -> None:
    """Write a process's row.

    Args:
        connection: in a transaction.
        worker: the process's name.
        values: by columns.
    """
    table = worker_gauges
    row = {**values, "at": db_now()}
    if not connection.execute(sa.update(table).where(table.c.worker == worker).values(**row)).rowcount:
        insert_once(connection, table, {"worker": worker, **row})


def remove(connection: sa.Connection, worker: str) -> None:
    """Delete the row of a process that ends, and those of processes that ended long ago."""
    old = worker_gauges.c.at < database_now(connection) - _KEPT
    connection.execute(sa.delete(worker_gauges).where(sa.or_(worker_gauges.c.worker == worker, old)))


def read(connection: sa.Connection) -> Gauges:
    """Add up the rows that are fresh."""
    rows = connection.execute(sa.select(worker_gauges, db_now().label("now")).limit(_MOST_ROWS)).all()
    fresh = [row for row in rows if (row.now - row.at).total_seconds() < FRESH_SECONDS]
    return Gauges(
        processes=len(fresh),
        calls_allowed=sum(row.calls_allowed for row in fresh),
        calls_in_flight=sum(row.calls_in_flight for row in fresh),
        results_waiting=sum(row.results_waiting for row in fresh),
    )
