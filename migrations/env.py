"""Alembic's environment: our own version table, our own tables only, patient but not endless with locks."""

import time

import sqlalchemy as sa
from alembic import context

import models  # noqa: F401 - so that the metadata is complete
from smsclick.contract import VERSION_TABLE, metadata
from smsclick.database import Database
from smsclick.settings import load_settings

config = context.config


def _ours(name: str | None, type_: str, parent_names: object) -> bool:  # noqa: ARG001
    """Only our tables: we may live in a backend's database."""
    return type_ != "table" or (name or "").startswith("smsclick_")


def _configure(**options: object) -> None:
    context.configure(
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        include_name=_ours,
        compare_type=True,
        compare_server_default=False,
        transaction_per_migration=True,
        **options,  # type: ignore[arg-type]
    )


def _take_turn(connection: sa.Connection) -> None:
    """One migration at a time.

    The lock is asked for again and again and not waited for: a statement that waits holds a snapshot, and CREATE INDEX
    CONCURRENTLY waits for all of those, which would be a deadlock.
    """
    lock = sa.text("SELECT pg_try_advisory_lock(hashtext('smsclick_migrations'))")
    while not connection.scalar(lock):
        connection.rollback()
        time.sleep(0.2)
    connection.commit()


def _run(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        # A migration that waits for a lock blocks all who come behind it.
        connection.execute(sa.text("SET lock_timeout = '10s'"))
        _take_turn(connection)
    elif connection.dialect.name in {"mysql", "mariadb"}:
        connection.execute(sa.text("SELECT GET_LOCK('smsclick_migrations', 60)"))
    _configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


url = config.attributes.get("database_url") or load_settings().database_url
if context.is_offline_mode():
    _configure(url=url, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    database = Database(url, threads=1)
    try:
        with database.engine.connect() as connection:
            _run(connection)
            connection.commit()
    finally:
        database.dispose()
