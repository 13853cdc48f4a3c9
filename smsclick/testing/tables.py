"""The tables of a test database."""

import sqlalchemy as sa

from smsclick.contract import metadata


def create_tables(bind: sa.Engine | sa.Connection) -> None:
    """Create the missing tables of smsclick in a test database.

    For tests only: in production `alembic upgrade head` creates them, and a worker requires its version table. With an
    async engine: `await connection.run_sync(create_tables)`.
    """
    metadata.create_all(bind)
