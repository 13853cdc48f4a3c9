"""Portable column types and the database's own clock, for SQLite, PostgreSQL and MariaDB/MySQL."""

import datetime as dt
from collections.abc import Callable
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import expression
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeDecorator, TypeEngine

from smsclick.errors import UnreadableRow

# SQLite assigns ids only to an INTEGER PRIMARY KEY.
BigId = BigInteger().with_variant(Integer(), "sqlite")


class UtcDateTime(TypeDecorator[dt.datetime]):
    """An aware datetime in Python, UTC with microseconds in the database. Naive ones are refused."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the database's own type: `timestamptz`, `DATETIME(6)`, ISO text on SQLite."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True))
        if dialect.name in {"mysql", "mariadb"}:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Convert an aware time to UTC, and drop the zone if the database has none."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime: give it a time zone")
        value = value.astimezone(dt.UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], dt.datetime | None] | None:  # noqa: ARG002
        """Return a converter without SQLAlchemy's own steps, because a row has nine of these columns."""
        return _utc if dialect.name != "sqlite" else _utc_of_text

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:  # noqa: ARG002
        """Convert a time of the database to aware UTC."""
        return _utc(value)


def _utc(value: dt.datetime | None) -> dt.datetime | None:
    if value is None:
        return None
    return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


def _utc_of_text(value: Any) -> dt.datetime | None:  # noqa: ANN401 - SQLite's columns hold any type
    """Convert SQLite's text. The error does not show it: it may be anything, even a phone in the wrong column."""
    if isinstance(value, dt.datetime):  # a connection of Django's, which converts such columns itself
        return _utc(value)
    try:
        return _utc(None if value is None else dt.datetime.fromisoformat(value))
    except (ValueError, TypeError, OverflowError):
        raise UnreadableRow("a column holds a time that cannot be read") from None


class db_now(expression.FunctionElement[dt.datetime]):  # noqa: N801 - reads as an SQL function
    """The database's clock in UTC: every due time and every lease is compared with it."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(db_now, "postgresql")
def _now_postgresql(element: db_now, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401, ARG001
    # Not now(), which is the start of the transaction. Stable, unlike clock_timestamp(), so that indexes can be used.
    return "statement_timestamp()"


@compiles(db_now, "mysql")
@compiles(db_now, "mariadb")
def _now_mysql(element: db_now, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401, ARG001
    return "UTC_TIMESTAMP(6)"


@compiles(db_now, "sqlite")
def _now_sqlite(element: db_now, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401, ARG001
    # The form in which SQLAlchemy stores times, so that comparisons are right; SQLite has only milliseconds.
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


class default_now(db_now):  # noqa: N801 - reads as an SQL function
    """The same clock as a column's DEFAULT, in the parentheses that SQLite and MySQL require."""

    inherit_cache = True


@compiles(default_now, "postgresql")
def _default_postgresql(element: default_now, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401, ARG001
    return "statement_timestamp()"


@compiles(default_now, "mysql")
@compiles(default_now, "mariadb")
def _default_mysql(element: default_now, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401, ARG001
    return "(UTC_TIMESTAMP(6))"


@compiles(default_now, "sqlite")
def _default_sqlite(element: default_now, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401, ARG001
    return "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"
