"""The time by the database's clock, which decides all due times and leases."""

import datetime as dt

import sqlalchemy as sa

from smsclick._database.columns import db_now


def database_now(connection: sa.Connection) -> dt.datetime:
    """Read the database's clock, in a statement of its own: the time at which that statement begins."""
    return connection.execute(sa.select(db_now())).scalar_one()
