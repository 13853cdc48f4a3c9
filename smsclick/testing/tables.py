"""The tables of a test database."""

import sqlalchemy as sa

from smsclick.contract import metadata


def create_tables(bind: sa.Engine | sa.Connection) -> None:
    """Create smsclick's tables in a test database, where they are not there yet.

    For tests only: in production `alembic upgrade head` does it, and a worker wants it done so. With an async engine:
    `await connection.run_sync(create_tables)`.
    """
    metadata.create_all(bind)
