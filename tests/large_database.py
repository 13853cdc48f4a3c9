"""A database as it is after years: many final messages, a backlog in every open state, each table that grows filled.

The database itself makes all rows, set-wise, so that millions of rows take minutes.
`tests.integration.test_query_plans` and `bench.ticks` use it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.schema import AddConstraint, DropConstraint

from smsclick.contract import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smsclick._database.engine import Database
from smsclick._database.message_tables import NOT_ON

SMALL = frozenset(
    {
        "smsclick_gates",
        "smsclick_heartbeats",
        "smsclick_watermarks",
        "smsclick_limits",
        "smsclick_budgets",
        "smsclick_dead_letters",
        "smsclick_balances",
        "smsclick_tallies",
        "smsclick_worker_gauges",
        "smsclick_usage",
        "smsclick_minutes",
    }
)
"""Tables that do not grow with the number of messages; to read one as a whole costs nothing. All others are filled."""

_DAY = 86_400
_YEAR = 365 * _DAY


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Rows of one kind.

    Attributes:
        rows: how many.
        columns: SQL of each column that matters, with `n` as the row's number from 1 and `ago(seconds)` as a time.
    """

    rows: int
    columns: dict[str, str]


def fill(database: Database, rows: int, *, backlog: int = 6000) -> None:
    """Fill a migrated, empty database and have it look at what it holds.

    Args:
        database: PostgreSQL or MariaDB.
        rows: messages in all; what is not open is final, and has one event.
        backlog: messages that wait to be sent, and in each state so many that are not due yet; a few are due.
    """
    opened = list(_open(backlog))
    final = rows - sum(group.rows for group in opened)
    if final < 0:
        raise ValueError(f"{rows} rows are fewer than the open ones")
    with _without_indexes(database), database.engine.begin() as connection:
        # Every row that is referred to is there: to look for each would take longest.
        unchecked = (
            "LOCAL session_replication_role = replica" if _is_postgresql(connection) else "foreign_key_checks = 0"
        )
        connection.exec_driver_sql(f"SET {unchecked}")
        made = 0
        for group in (_final(final), *opened):
            _insert(connection, metadata.tables["smsclick_messages"], group, made)
            made += group.rows
        for table in metadata.sorted_tables:
            if table.name not in SMALL and table.name != "smsclick_messages":
                group = (
                    Group(final, _EVENTS)
                    if table.name == "smsclick_events"
                    else Group(min(final, 20_000), _DONE.get(table.name, {}))
                )
                _insert(connection, table, group, 0)
                if table.name in _WAITING:
                    _insert(connection, table, Group(min(final, 4000), _WAITING[table.name]), 0)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in metadata.sorted_tables:
            # On PostgreSQL also what autovacuum would have done by now: the visibility map and the hints.
            look = "VACUUM ANALYZE" if _is_postgresql(connection) else "ANALYZE TABLE"
            connection.exec_driver_sql(f"{look} {table.name}")


_ACCEPTED = {
    "id_mensaje": "1000000 + n",
    "attempts": "1",
    "attempted_at": "ago({age})",
    "sent_at": "ago({age})",
    "credits_used": "1",
    "last_code": "1",
}


def _accepted(age: str) -> dict[str, str]:
    return {name: sql.format(age=age) for name, sql in _ACCEPTED.items()}


def _final(rows: int) -> Group:
    """The past, oldest first: all older than 30 days are erased, except the last 8,000, which are due now."""
    age = f"(40 + ({rows} - n) * {_YEAR / max(1, rows):.6f})"
    due = f"({rows} - n) * {_YEAR / max(1, rows):.6f} > {30 * _DAY}"
    oldest_kept = int(rows * (1 - 30 / 365)) - 8000
    return Group(
        rows,
        {
            **_accepted(age),
            "state": "CASE WHEN n % 50 = 0 THEN 'rejected' WHEN n % 199 = 0 THEN 'undetermined' ELSE 'delivered' END",
            "due_at": "NULL",
            "created_at": f"ago({age})",
            "final_at": f"CASE WHEN n % 199 = 0 AND n % 50 <> 0 THEN NULL ELSE ago({age} - 20) END",
            "estatus_mensaje": "3",
            "erased_at": f"CASE WHEN {due} AND n <= {oldest_kept} THEN ago(60) ELSE NULL END",
        },
    )


def _open(backlog: int) -> Iterator[Group]:
    now, later, lease = "ago(1)", "ago(-86400 - n % 3600)", "ago(-86400)"
    claimed = {"token": "concat('t', n)", "attempts": "1", "attempted_at": "ago(20)", "wire_key": "concat('w', n)"}
    yield Group(backlog, {"state": "'queued'", "due_at": later, "send_at": later, "expires_at": "ago(-200000)"})
    for priority, waiting in ((0, 100), (1, backlog), (2, 100)):
        yield Group(waiting, {"state": "'queued'", "priority": str(priority), "due_at": now})
    yield Group(20, {"state": "'queued'", "due_at": later, "expires_at": now})
    yield Group(100, {"state": "'sending'", "due_at": lease, "lease_until": lease, **claimed})
    yield Group(20, {"state": "'sending'", "due_at": now, "lease_until": now, **claimed})
    yield Group(backlog, {"state": "'unknown'", "due_at": later, "unknown_since": "ago(20)", **claimed})
    earlier = {"attempted_at": "ago(720)", "unknown_since": "ago(700)"}
    yield Group(20, {"state": "'unknown'", "due_at": now, **claimed, **earlier})
    for state in ("sent", "undetermined", "delivered"):
        final = {"final_at": "ago(20)"} if state == "delivered" else {}
        yield Group(backlog, {"state": f"'{state}'", "due_at": later, **_accepted("(5 + n % 1500)"), **final})
        yield Group(100, {"state": f"'{state}'", "due_at": now, **_accepted("(5 + n % 1500)"), **final})
    yield Group(500, {"state": "'failed'", "due_at": "NULL", "final_at": "ago(20)", "last_code": "-103"})


_WAITING = {
    "smsclick_callbacks": {
        "receiver": "concat('receiver-', n % 20)",
        "target": "concat('http://127.0.0.1:1/', n)",
        "data": "'{}'",
        "due_at": "CASE WHEN n % 400 = 0 THEN ago(1) ELSE ago(-86400) END",
    }
}
"""Tables of what is still to be done, besides messages: what of them is not done yet, a few due."""

_DONE = {"smsclick_callbacks": {"data": "'{}'"}}
"""What else of them is as the program writes it: JSON."""

_EVENTS = {"from_state": "'sent'", "to_state": "'delivered'", "cause": "'status_checked'", "attempt": "1"}


class _without_indexes:  # noqa: N801 - reads as a verb
    """Drop the indexes of every table meanwhile: made at the end they take a fraction of the time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # MariaDB wants one under each foreign key.
        self._indexes = [
            index
            for table in metadata.sorted_tables
            for index in sorted(table.indexes, key=lambda each: str(each.name))
            if not any(column.foreign_keys for column in index.columns)
        ]
        self._constraints = [
            DropConstraint(constraint)
            for table in metadata.sorted_tables
            for constraint in sorted(table.constraints, key=lambda each: str(each.name))
            if isinstance(constraint, sa.UniqueConstraint)
            and database.engine.dialect.name not in constraint.info.get(NOT_ON, ())
        ]

    def __enter__(self) -> None:
        with self._database.engine.begin() as connection:
            for index in self._indexes:
                index.drop(connection)
            for drop in self._constraints:
                connection.execute(drop)

    def __exit__(self, *_: object) -> None:
        with self._database.engine.begin() as connection:
            for index in self._indexes:
                index.create(connection)
            for drop in self._constraints:
                connection.execute(AddConstraint(drop.element))


def _insert(connection: sa.Connection, table: sa.Table, group: Group, before: int) -> None:
    """Insert a group; what it does not say of the columns that must have a value is filled by their type."""
    columns = {column.name: sql for column in table.columns if (sql := _blank(column)) is not None} | group.columns
    names = ", ".join(connection.dialect.identifier_preparer.quote(name) for name in columns)
    values = ", ".join(_dialect(connection, sql) for sql in columns.values())
    numbers = (
        f"(SELECT generate_series({before + 1}, {before + group.rows}) AS n)"
        if _is_postgresql(connection)
        else f"(SELECT CAST(seq AS SIGNED) AS n FROM seq_{before + 1}_to_{before + group.rows})"  # noqa: S608
    )
    if group.rows:
        connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) SELECT {values} FROM {numbers} AS numbers")  # noqa: S608


def _blank(column: sa.Column[object]) -> str | None:
    """What a column holds where its group does not say; None leaves it to its default."""
    if column.name == "key":
        return "concat('key-', n)"
    if column.foreign_keys:
        return "n"
    if column.primary_key and column.autoincrement is True:
        return None
    if column.nullable:
        return "NULL"  # a due_at too: what is done
    if column.server_default is not None:
        return None
    if isinstance(column.type, sa.String):
        length = column.type.length or 40
        return f"right(concat('{column.name}-', n), {length})"
    return "n" if isinstance(column.type, sa.Integer) else "ago(60)"


def _dialect(connection: sa.Connection, sql: str) -> str:
    """Write `ago(seconds)` as the database says it."""
    clock, start, end = (
        ("statement_timestamp()", "interval '1 second' * (", ")")
        if _is_postgresql(connection)
        else ("UTC_TIMESTAMP(6)", "INTERVAL (", ") SECOND")
    )
    while "ago(" in sql:
        head, _, rest = sql.partition("ago(")
        depth, index = 1, 0
        while depth:
            depth += {"(": 1, ")": -1}.get(rest[index], 0)
            index += 1
        sql = f"{head}({clock} - {start}{rest[: index - 1]}{end}){rest[index:]}"
    return sql.replace("%", "%%")


def _is_postgresql(connection: sa.Connection) -> bool:
    return connection.dialect.name == "postgresql"
