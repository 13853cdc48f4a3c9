"""Engines and transactions of our own processes: the worker and the `smsclick` program.

The peculiarities of each database are handled here. Producers have an engine of their own.
"""

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, DisconnectionError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from smsclick._database.columns import db_now
from smsclick._database.error_lines import unavailable
from smsclick._database.faults import DatabaseBusy, Diagnosis, Fault, diagnose, fault_of, keep, safe_words
from smsclick._database.metadata import VERSION_TABLE
from smsclick._database.sessions import READ_ONLY, SILENCE_SECONDS, connect_args, listen, requires_tls, url_for_driver
from smsclick._database.sqlite_files import make_private, path_of
from smsclick._database.urls import parse_url, shown
from smsclick.errors import DatabaseNotMigrated, DatabaseUnavailable

__all__ = ["Database", "Fault", "fault_of", "note_for_commit", "parse_url"]

T = TypeVar("T")

_TRIES = 5
_USED_AT = "smsclick_used_at"
_NOTED = "smsclick_noted"
_TRUSTED_SECONDS = 1.0
"""A connection that was used within this time is not checked again."""


class Database:
    """One engine with short write and read transactions.

    Args:
        url: as `DATABASE_URL`.
        threads: the number of connections; further callers wait.
        silence_seconds: a statement without an answer for so long counts as a lost connection; None means never, for
            migrations of large tables.
    """

    def __init__(self, url: str, *, threads: int = 8, silence_seconds: float | None = SILENCE_SECONDS) -> None:
        self.engine = _create_engine(url, threads, silence_seconds)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        # SQLite has one writer; a lock in the process is fairer and faster than SQLite's busy-waiting.
        self._writer = threading.Lock() if self.is_sqlite else contextlib.nullcontext()
        self.after_commit: Callable[[Sequence[object]], None] | None = None
        """Called with what a transaction noted (`note_for_commit`), once it is committed and only then."""

    @contextlib.contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """Open a write transaction: committed at the end of the block, rolled back on any exception.

        Raises:
            DatabaseUnavailable: for an error that is not the fault of a row (`fault_of`): the database cannot be
                reached, was lost on the way, is read-only, is full. An error of a row is raised as SQLAlchemy's error.
            DatabaseNotMigrated: a table is missing.
        """
        with self._writer, _translated(self.engine), self.engine.begin() as connection:
            noted: list[object] = []
            info = connection.info  # read now, because a lost connection does not have it any more
            info[_NOTED] = noted
            try:
                yield connection
            finally:
                info.pop(_NOTED, None)
        if noted and self.after_commit is not None:
            self.after_commit(noted)

    def transact(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in a write transaction and return its result; run it again if it lost to another transaction.

        Args:
            work: must do nothing but SQL, because it may run several times.

        Raises:
            DatabaseUnavailable: as `begin`; also if it lost to others five times.
            DatabaseNotMigrated: as `begin`.
        """
        for _ in range(_TRIES - 1):
            with contextlib.suppress(DatabaseBusy), self.begin() as connection:
                return work(connection)
        with self.begin() as connection:
            return work(connection)

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a transaction that only reads; raises as `begin` does."""
        with _translated(self.engine), self.engine.connect() as connection:
            yield connection.execution_options(**{READ_ONLY: True})

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Translate the errors of work on the engine itself, such as migrations: raises as `begin` does."""
        with _translated(self.engine):
            yield

    def dispose(self, *, close: bool = True) -> None:
        """Close the pool. A forked child passes `close=False`, because its parent still uses the sockets."""
        self.engine.dispose(close=close)

    def version(self) -> str | None:
        """Return the version of the tables, or None if there are none."""
        with self.read() as connection:
            if not sa.inspect(connection).has_table(VERSION_TABLE):
                return None
            version: str | None = connection.scalar(sa.text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
            return version

    def require_migrated(self) -> None:
        """Check that there are tables.

        Raises:
            DatabaseNotMigrated: the tables are missing.
            DatabaseUnavailable: the database does not answer.
        """
        if self.version() is None:
            where = shown(self.engine.url)
            raise _not_migrated(where)

    def clock(self) -> Any:  # noqa: ANN401 - an aware datetime; SQLAlchemy's scalar is untyped
        """Return the database's time, an aware datetime in UTC."""
        with self.read() as connection:
            return connection.scalar(sa.select(db_now()))


def note_for_commit(connection: sa.Connection, what: object) -> None:
    """Pass this to `Database.after_commit` once the connection's transaction is committed.

    Args:
        connection: in a transaction of `Database.begin` or `transact`; otherwise nothing is passed.
        what: any value that the process's listener understands.
    """
    noted = connection.info.get(_NOTED)
    if noted is not None:
        noted.append(what)


def _create_engine(url: str, threads: int, silence_seconds: float | None) -> sa.Engine:
    parsed = parse_url(url)
    # hide_parameters: phones and texts must not get into an exception or a log.
    options: dict[str, Any] = {"hide_parameters": True, "connect_args": connect_args(parsed, silence_seconds)}
    backend = parsed.get_backend_name()
    if backend != "sqlite":
        options |= {"pool_size": threads, "max_overflow": 0, "pool_timeout": 60}
    elif (path := path_of(parsed)) is not None:
        make_private(path)
    if backend in {"mysql", "mariadb"}:
        # The default level uses gap locks, with which claims of neighbouring rows deadlock.
        options["isolation_level"] = "READ COMMITTED"
    try:
        engine = sa.create_engine(url_for_driver(parsed), **options)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise DatabaseUnavailable(
            f"DATABASE_URL: the driver for {parsed.drivername} is not installed ({error}); "
            "pip install 'smsclick[postgresql]' or 'smsclick[mysql]'"
        ) from None
    event.listen(engine, "handle_error", _judge)
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", functools.partial(_ping_if_idle, engine.dialect))
    listen(engine, silence_seconds, tls=requires_tls(parsed))
    return engine


def _note_use(_connection: object, record: sa.pool.ConnectionPoolEntry) -> None:
    record.info[_USED_AT] = time.monotonic()


def _ping_if_idle(dialect: sa.Dialect, connection: Any, record: sa.pool.ConnectionPoolEntry, _proxy: object) -> None:  # noqa: ANN401 - a driver's
    """Check the connection, but only after idle time: `pool_pre_ping` costs a round trip for each transaction."""
    if time.monotonic() - record.info.get(_USED_AT, float("inf")) <= _TRUSTED_SECONDS:
        return
    try:
        alive = dialect.do_ping(connection)
    except Exception as error:  # noqa: BLE001 - any error of a driver means a dead connection; the pool makes another
        raise DisconnectionError(type(error).__name__) from None
    if not alive:
        raise DisconnectionError("no answer")


def _judge(context: sa.ExceptionContext) -> None:
    """Drop useless sessions, and keep the content of rows out of errors.

    PostgreSQL explains a violated constraint with the whole row, which includes a phone and a text. MariaDB and SQLite
    quote the value that they cannot store or read.
    """
    found = diagnose(context.original_exception)
    if found.reconnect:
        context.is_disconnect = True
    words = safe_words(context.original_exception)
    keep(context.original_exception, found)
    for error in (context.original_exception, context.sqlalchemy_exception):
        if error is None or not error.args:
            continue
        if words is not None:
            # MySQL's drivers put a number first, by which SQLAlchemy recognises a lost connection.
            error.args = (*error.args[:-1], words) if len(error.args) > 1 else (words,)
        elif isinstance(error.args[0], str):
            error.args = (error.args[0].partition("\nDETAIL:")[0], *error.args[1:])


@contextlib.contextmanager
def _translated(engine: sa.Engine) -> Iterator[None]:
    where = shown(engine.url)
    try:
        yield
    except DBAPIError as error:
        found = diagnose(error)
        if found.not_migrated:
            raise _not_migrated(where) from None
        if found.fault is Fault.CONTENTION:
            raise DatabaseBusy(_busy(where, found)) from error
        if found.fault is Fault.ENVIRONMENT or error.connection_invalidated:
            raise unavailable(engine.url, where, found, error) from error
        raise
    except PoolTimeoutError:
        # All connections are waiting for answers: the database has stalled.
        raise DatabaseUnavailable(
            f"the database {where} does not answer (every connection to it is busy)", advice="check that it runs"
        ) from None


def _not_migrated(where: str) -> DatabaseNotMigrated:
    problem = f"the tables are not in {where}, or older than this program"
    return DatabaseNotMigrated(problem, advice="run: alembic upgrade head")


def _busy(where: str, found: Diagnosis) -> str:
    return f"the database {where} is busy ({found.words}); it is tried again"
