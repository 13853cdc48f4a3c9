"""Read the heartbeats of ticks and workers."""

import dataclasses
import datetime as dt

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick.contract import heartbeats

_MOST_HEARTBEATS = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Heartbeat:
    """When a tick or a worker last made progress.

    Attributes:
        name: of the tick, or `worker:HOST:…`.
        at: the time of the latest progress, by the database's clock.
        age_seconds: since then.
        progress: a counter that grows with each step of work.
    """

    name: str
    at: dt.datetime
    age_seconds: float
    progress: int


def read(connection: sa.Connection, *, named: str = "") -> list[Heartbeat]:
    """Return the heartbeats, the latest first, at most 1,000.

    Args:
        connection: where to read.
        named: only the heartbeats whose names begin with this.
    """
    query = sa.select(heartbeats, db_now().label("now"))
    if named:
        query = query.where(heartbeats.c.name.startswith(named, autoescape=True))
    rows = connection.execute(query.order_by(heartbeats.c.at.desc()).limit(_MOST_HEARTBEATS))
    return [Heartbeat(row.name, row.at, max(0.0, (row.now - row.at).total_seconds()), row.progress) for row in rows]
