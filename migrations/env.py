"""Alembic's environment: our own version table, our own tables only, patient but not endless with locks.

What goes wrong ends as one line: `alembic upgrade head` is the first command that an operator runs.
"""

import contextlib
import sys
import time
from collections.abc import Iterator

import sqlalchemy as sa
from alembic import context
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

import models  # noqa: F401 - so that the metadata is complete
from smsclick._database.engine import Database
from smsclick._database.faults import diagnose
from smsclick._database.sqlite_files import make_existing_private, path_of, require_there
from smsclick._database.urls import parse_url, shown
from smsclick.alembic import is_ours
from smsclick.contract import VERSION_TABLE, metadata
from smsclick.errors import DatabaseNotMigrated, SmsclickError
from smsclick.settings import load_settings

config = context.config


def _ours(name: str | None, type_: str, parent_names: object) -> bool:  # noqa: ARG001
    """Only our tables: we may live in a backend's database."""
    return type_ != "table" or is_ours(name)


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


@contextlib.contextmanager
def _one_at_a_time(engine: sa.Engine) -> Iterator[None]:
    """One migration at a time, by a lock of a transaction that stays open beside it on a connection of its own.

    A session's lock would stay on a pooled session and keep the next upgrade waiting forever. The lock is asked for
    again and again and not waited for: a statement that waits holds a snapshot, and CREATE INDEX CONCURRENTLY waits
    for all of those, which would be a deadlock. A transaction that is idle holds none.
    """
    with engine.connect() as connection:
        while True:
            connection.execute(sa.text("SELECT set_config('idle_in_transaction_session_timeout', '0', true)"))
            if connection.scalar(sa.text("SELECT pg_try_advisory_xact_lock(hashtext('smsclick_migrations'))")):
                break
            connection.rollback()
            time.sleep(0.2)
        yield


def _not_patient(connection: sa.Connection) -> None:
    """A migration that waits for a lock blocks all who come behind it. Outside of a transaction this does nothing."""
    connection.exec_driver_sql("SELECT set_config('lock_timeout', '10s', true)")


def _run(engine: sa.Engine) -> None:
    postgresql = engine.dialect.name == "postgresql"
    with _one_at_a_time(engine) if postgresql else contextlib.nullcontext(), engine.connect() as connection:
        if postgresql:
            sa.event.listen(connection, "begin", _not_patient)
        elif engine.dialect.name in {"mysql", "mariadb"}:
            connection.execute(sa.text("SELECT GET_LOCK('smsclick_migrations', 60)"))
        _configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()


def _offline(url: str) -> None:
    _configure(url=url, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def _may_make_tables() -> bool:
    """Whether this command is to make them; the others must not leave an empty SQLite file behind."""
    options = config.cmd_opts  # None where a program of ours asks for an upgrade
    return options is None or options.cmd[0].__name__ in {"upgrade", "stamp"}


def _make_private(url: sa.URL) -> None:
    """Earlier releases made SQLite's files readable for every user of the machine."""
    path = path_of(url)
    changed = make_existing_private(path) if path is not None and _may_make_tables() else []
    if changed:
        sys.stdout.write(f"{path}: every user could read it; that is over, except for a group that may write\n")


def _online(url: str) -> None:
    if not _may_make_tables():
        require_there(parse_url(url))
    database = Database(url, threads=2, silence_seconds=None)
    try:
        with database.translated():
            _run(database.engine)
        _make_private(database.engine.url)
    except DatabaseNotMigrated:
        where = shown(database.engine.url)
        raise SmsclickError(
            f"the tables in {where} do not fit the version in {VERSION_TABLE}: something of them is missing; "
            "restore them from a backup, or use an empty database"
        ) from None
    except CommandError as error:
        if "locate revision" not in str(error):
            raise
        raise SmsclickError(
            f"the tables in {shown(database.engine.url)} are at a version that this program does not know; run its "
            "newer release, or go back with `alembic downgrade` of that one"
        ) from None
    except DBAPIError as error:
        raise SmsclickError(f"the database refused the migration ({diagnose(error).words})") from None
    finally:
        database.dispose()


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """Alembic's own program would show a traceback; ours shows an error's text itself."""
    try:
        yield
    except (SmsclickError, OSError) as error:
        if "database_url" in config.attributes:
            raise
        raise SystemExit(f"smsclick: {error}") from None


with _one_line():
    wanted: str = config.attributes.get("database_url") or load_settings().database_url
    if context.is_offline_mode():
        _offline(wanted)
    else:
        _online(wanted)
