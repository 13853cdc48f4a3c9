"""Enqueue within Django's own transaction: SQLAlchemy borrows the connection that `transaction.atomic` is open on.

```python
from smsclick.django import enqueue

with transaction.atomic():
    order = Order.objects.create(...)
    enqueue(phone=order.phone, text="Tu pedido va en camino", key=f"order-{order.id}:placed")
```

SQLAlchemy never begins, commits, rolls back, closes or sets up the borrowed connection; Django does. The workers are
woken up in `transaction.on_commit`. The tables are in the database whose alias is Django's setting `SMSCLICK_DATABASE`
(`default` if there is no such setting). PostgreSQL by psycopg or psycopg2, MySQL and MariaDB by mysqlclient or PyMySQL,
and SQLite.

`"smsclick.django"` in `INSTALLED_APPS` adds a read-only model, `smsclick.django.models.Message`, with a page in the
admin, and the tables to the databases that Django makes for tests. The functions here work without it.
"""

import contextlib
import datetime as dt
import functools
from collections.abc import Callable, Iterator
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from django.conf import settings
from django.db import connections, transaction
from sqlalchemy.dialects import registry, sqlite
from sqlalchemy.dialects.mysql.mysqldb import MySQLDialect_mysqldb
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

import smsclick
from smsclick._wakeups import publisher
from smsclick.errors import SmsclickError

__all__ = ["cancel", "connected", "enqueue", "enqueue_many", "status"]

P = ParamSpec("P")
R = TypeVar("R")


@contextlib.contextmanager
def connected() -> Iterator[sa.Connection]:
    """Yield Django's own connection as one of SQLAlchemy, in the transaction that Django has open; commit nothing.

    Raises:
        SmsclickError: Django uses a database or a driver that this module does not support.
    """
    with _engine(database_alias()).connect() as connection:
        yield connection


def _in_transaction(function: Callable[Concatenate[sa.Connection, P], R]) -> Callable[P, R]:
    """Return the function without its first argument, because Django has the transaction."""

    @functools.wraps(function)
    def enqueue_in_django(*args: P.args, **kwargs: P.kwargs) -> R:
        alias = database_alias()
        # A savepoint within the caller's block: a refused message leaves the rest of it as it was.
        with transaction.atomic(using=alias), connected() as connection:
            stored = function(connection, *args, **kwargs)
        ids: Any = stored if isinstance(stored, list) else [stored]
        if ids and publisher.configured():
            transaction.on_commit(lambda: publisher.wake(ids), using=alias, robust=True)
        return stored

    return enqueue_in_django


enqueue = _in_transaction(smsclick.enqueue)
enqueue_many = _in_transaction(smsclick.enqueue_many)


def cancel(key: str) -> bool:
    """Withdraw a message as `smsclick.cancel`, in the transaction that Django has open."""
    with transaction.atomic(using=database_alias()), connected() as connection:
        return smsclick.cancel(connection, key)


def status(key: str) -> smsclick.Status | None:
    """Return the status of a message as `smsclick.status`, in the transaction that Django has open."""
    with connected() as connection:
        return smsclick.status(connection, key)


def database_alias() -> str:
    """Return the alias of the database that has the tables."""
    return str(getattr(settings, "SMSCLICK_DATABASE", "default"))


@functools.cache
def _engine(alias: str) -> sa.Engine:
    vendor = connections[alias].vendor
    driver = getattr(getattr(connections[alias], "Database", None), "__name__", "no driver").partition(".")[0]
    if (vendor, driver) not in _DIALECTS:
        raise SmsclickError(
            "smsclick.django supports PostgreSQL (by psycopg or psycopg2), MySQL and MariaDB (by mysqlclient or "
            f"PyMySQL) and SQLite, not {vendor} by {driver}; enqueue by SQL instead (docs/producers.md)"
        )

    def borrowed() -> Any:  # noqa: ANN401 - the driver's connection of this thread
        connections[alias].ensure_connection()
        return connections[alias].connection

    # hide_parameters: phones and texts must not get into an exception or a log. hstore: SQLAlchemy would set it up.
    options: dict[str, Any] = {"creator": borrowed, "pool_reset_on_return": None, "hide_parameters": True}
    if vendor == "postgresql":
        options["use_native_hstore"] = False
    return sa.create_engine(f"{vendor}+smsclick_django_{driver}://", poolclass=sa.NullPool, **options)


class _Borrowed:
    """The methods of a dialect that begin, end or set up a connection: they do nothing, because Django does it."""

    def on_connect_url(self, url: sa.URL) -> None:
        """Set nothing up."""

    def do_begin(self, dbapi_connection: object) -> None:
        """Do nothing: Django has begun."""

    def do_commit(self, dbapi_connection: object) -> None:
        """Do nothing: Django commits."""

    def do_rollback(self, dbapi_connection: object) -> None:
        """Do nothing: Django rolls back."""

    def do_close(self, dbapi_connection: object) -> None:
        """Do nothing: Django closes."""

    def do_terminate(self, dbapi_connection: object) -> None:
        """Do nothing, also for a broken connection."""


class _ConvertedTime(sqlite.DATETIME):
    """A time that SQLite's driver has converted already, because Django configures it to."""

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], dt.datetime | None]:
        """Return a converter that parses only text."""
        parse: Any = super().result_processor(dialect, coltype)
        return lambda value: value if isinstance(value, dt.datetime) else parse(value)


class Psycopg(_Borrowed, PGDialect_psycopg):
    """PostgreSQL over Django's connection."""

    supports_statement_cache = True


class Psycopg2(_Borrowed, PGDialect_psycopg2):
    """PostgreSQL over Django's connection, by the older driver."""

    supports_statement_cache = True


class MySQLClient(_Borrowed, MySQLDialect_mysqldb):
    """MySQL or MariaDB over Django's connection."""

    supports_statement_cache = True


class PyMySQL(_Borrowed, MySQLDialect_pymysql):
    """MySQL or MariaDB over Django's connection, where `pymysql.install_as_MySQLdb()` was called."""

    supports_statement_cache = True


class SQLite(_Borrowed, SQLiteDialect_pysqlite):
    """SQLite over Django's connection."""

    supports_statement_cache = True
    colspecs = {**SQLiteDialect_pysqlite.colspecs, sa.DateTime: _ConvertedTime}  # noqa: RUF012 - as SQLAlchemy has it


_DIALECTS = {
    ("postgresql", "psycopg"): Psycopg,
    ("postgresql", "psycopg2"): Psycopg2,
    ("mysql", "MySQLdb"): MySQLClient,
    ("mysql", "pymysql"): PyMySQL,
    ("sqlite", "sqlite3"): SQLite,
}
"""By Django's name of the database and the name of the driver's module."""

for (_vendor, _driver), _dialect in _DIALECTS.items():
    registry.register(f"{_vendor}.smsclick_django_{_driver}", __name__, _dialect.__name__)
