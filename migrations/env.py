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
from smsclick._database.faults import DatabaseBusy, diagnose
from smsclick._database.sqlite_files import make_existing_private, path_of, require_there
from smsclick._database.urls import parse_url, shown
from smsclick._logs.event_log import EventLog
from smsclick.alembic import is_ours
from smsclick.contract import VERSION_TABLE, messages, metadata
from smsclick.errors import DatabaseNotMigrated, SmsclickError
from smsclick.settings import load_settings
from worker.logs.setup import set_up

log = EventLog(__name__)

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


_LOCK_SECONDS = 10
"""A migration that waits for a lock blocks all who come behind it, so it gives up after this time."""


def _not_patient(connection: sa.Connection) -> None:
    """Outside of a transaction this does nothing."""
    connection.exec_driver_sql(f"SELECT set_config('lock_timeout', '{_LOCK_SECONDS}s', true)")


def _require_locks(connection: sa.Connection) -> None:
    """Refuse a migration on MariaDB while a long transaction uses the messages, before anything has changed.

    MariaDB commits each statement that changes a table, so a migration that gives up halfway could not be repeated.
    """
    connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {_LOCK_SECONDS}")
    if not sa.inspect(connection).has_table(messages.name):
        return
    try:
        connection.exec_driver_sql(f"LOCK TABLES {messages.name} WRITE")
    except DBAPIError as error:
        if diagnose(error).code in _NO_RIGHT_TO_LOCK:
            return  # the migration itself may still have all the rights that it needs
        raise
    connection.exec_driver_sql("UNLOCK TABLES")


_NO_RIGHT_TO_LOCK = {"1044", "1142"}


def _run(engine: sa.Engine) -> None:
    postgresql = engine.dialect.name == "postgresql"
    with _one_at_a_time(engine) if postgresql else contextlib.nullcontext(), engine.connect() as connection:
        if postgresql:
            sa.event.listen(connection, "begin", _not_patient)
        elif engine.dialect.name in {"mysql", "mariadb"}:
            connection.execute(sa.text("SELECT GET_LOCK('smsclick_migrations', 60)"))
        _configure(connection=connection)
        if not postgresql and engine.dialect.name != "sqlite" and _changes_something():
            _require_locks(connection)
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()


def _changes_something() -> bool:
    revision = context.get_context().get_current_revision()
    return revision is not None and revision != context.get_head_revision()


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
    if changed and load_settings().log_format == "json":
        log.warning("tables_made_private", path=path)
    elif changed:
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
    except DatabaseBusy:
        raise SmsclickError(
            f"the migration gave up after waiting {_LOCK_SECONDS} s for a table that a transaction of another program "
            "uses, so that nobody has to wait behind it; end that transaction, or wait for its end, and repeat the "
            "command (docs/upgrading.md)"
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


def _set_up_log() -> None:
    """For Alembic's own program alone: another one has its log set up, or shows results only."""
    if config.cmd_opts is not None:
        set_up(load_settings().log_format, "migrate")


with _one_line():
    _set_up_log()
    wanted: str = config.attributes.get("database_url") or load_settings().database_url
    if context.is_offline_mode():
        _offline(wanted)
    else:
        _online(wanted)
