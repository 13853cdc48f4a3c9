"""Write many rows in one statement.

On PostgreSQL the rows travel as one JSON parameter, at a quarter of what a statement for each row costs; elsewhere the
driver repeats the statement.
"""

import dataclasses
import datetime as dt
import functools
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]

Row = dict[str, Any]


def among(connection: sa.Connection, column: sa.ColumnElement[Any], values: Collection[Any]) -> sa.ColumnElement[bool]:
    """`column IN values`; on PostgreSQL the values travel as one array.

    An IN list is another statement for each number of values, which costs more to write and to plan than to run.
    """
    if connection.dialect.name == "postgresql":
        return column == sa.any_(sa.literal(list(values), postgresql.ARRAY(column.type)))
    return column.in_(values)


def update(connection: sa.Connection, table: sa.Table, match: Mapping[str, str], rows: Sequence[Row]) -> int:
    """Update one row of the table for each of `rows`; returns how many existed, or -1 if the driver does not know.

    Args:
        connection: in a transaction.
        table: with a column for each name.
        match: by which columns a row is found, and under which of its names the value stands.
        rows: all with the same names; those that are not in `match` are written.
    """
    if not rows:
        return 0
    names = tuple(name for name in rows[0] if name not in match.values())
    if connection.dialect.name == "postgresql":
        sql = _update_sql(table, tuple(match.items()), names)
        return connection.exec_driver_sql(sql, {"rows": _json(rows)}).rowcount
    statement = _update_each(table, tuple(match.items()), names)
    return connection.execute(statement, [{f"b_{name}": row[name] for name in row} for row in rows]).rowcount


@dataclasses.dataclass(frozen=True, slots=True)
class Addition:
    """Numbers to add to rows that may be gone.

    Attributes:
        table: with a column for each name.
        match: the columns by which a row is found; the first is its id. They stand under their own names.
        column: what is added to, by the value under its name.
        rows: all with the names of `match` and `column`.
    """

    table: sa.Table
    match: tuple[str, ...]
    column: str
    rows: Sequence[Row]


def update_and_insert(
    connection: sa.Connection,
    table: sa.Table,
    match: Mapping[str, str],
    rows: Sequence[Row],
    inserts: Sequence[tuple[sa.Table, Sequence[Row]]],
    addition: Addition | None = None,
) -> tuple[int, frozenset[int]]:
    """Update as `update`, insert rows of other tables as `insert`, and add; on PostgreSQL in one statement.

    Args:
        connection: in a transaction.
        table: as in `update`.
        match: as in `update`.
        rows: as in `update`.
        inserts: tables and their rows, as in `insert`.
        addition: only on PostgreSQL.

    Returns:
        As `update`, and the ids of the rows to which something was added.
    """
    inserts = [(into, some) for into, some in inserts if some]
    if not rows or not (inserts or addition) or connection.dialect.name != "postgresql":
        updated = update(connection, table, match, rows)
        for into, some in inserts:
            insert(connection, into, some)
        return updated, frozenset()
    names = tuple(name for name in rows[0] if name not in match.values())
    into_names = tuple((into, tuple(some[0])) for into, some in inserts)
    added = (addition.table, addition.match, addition.column) if addition else None
    sql = _update_and_insert_sql(table, tuple(match.items()), names, into_names, added)
    values = {f"rows{place}": _json(some) for place, (_, some) in enumerate(inserts)}
    if addition:
        values["added"] = _json(addition.rows)
    count, ids = connection.exec_driver_sql(sql, {"rows": _json(rows)} | values).one()
    return int(count), frozenset(ids or ())


def insert(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Insert rows, all with the same names, in their order."""
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_insert_sql(table, tuple(rows[0])), {"rows": _json(rows)})
    else:
        connection.execute(sa.insert(table), list(rows))


@functools.cache
def _update_sql(table: sa.Table, match: tuple[tuple[str, str], ...], names: tuple[str, ...]) -> str:
    record = [(alias, table.c[column]) for column, alias in match] + [(name, table.c[name]) for name in names]
    values = ", ".join(f"{_quote(name)} = new.{_quote(name)}" for name in names)
    found = " AND ".join(f"old.{_quote(column)} = new.{_quote(alias)}" for column, alias in match)
    return f"UPDATE {table.name} AS old SET {values} FROM {_recordset(record)} WHERE {found}"  # noqa: S608 - our names


@functools.cache
def _update_and_insert_sql(
    table: sa.Table,
    match: tuple[tuple[str, str], ...],
    names: tuple[str, ...],
    inserts: tuple[tuple[sa.Table, tuple[str, ...]], ...],
    added: tuple[sa.Table, tuple[str, ...], str] | None,
) -> str:
    parts = [f"changed AS ({_update_sql(table, match, names)} RETURNING 1)"]
    parts += [
        f"inserted{place} AS ({_insert_sql(into, columns, f'rows{place}')})"
        for place, (into, columns) in enumerate(inserts)
    ]
    ids = "NULL"
    if added:
        parts.append(f"added AS ({_add_sql(*added)})")
        ids = "(SELECT array_agg(id) FROM added)"
    return f"WITH {', '.join(parts)} SELECT (SELECT count(*) FROM changed), {ids}"  # noqa: S608 - our own names


def _add_sql(table: sa.Table, match: tuple[str, ...], column: str) -> str:
    record = _recordset([(name, table.c[name]) for name in (*match, column)], "added")
    found = " AND ".join(f"old.{_quote(name)} = new.{_quote(name)}" for name in match)
    total = f"{_quote(column)} = old.{_quote(column)} + new.{_quote(column)}"
    return f"UPDATE {table.name} AS old SET {total} FROM {record} WHERE {found} RETURNING old.id"  # noqa: S608 - our names


@functools.cache
def _insert_sql(table: sa.Table, names: tuple[str, ...], parameter: str = "rows") -> str:
    columns = ", ".join(map(_quote, names))
    record = _recordset([(name, table.c[name]) for name in names], parameter)
    return f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {record}"  # noqa: S608 - our own names


@functools.cache
def _update_each(table: sa.Table, match: tuple[tuple[str, str], ...], names: tuple[str, ...]) -> sa.Update:
    found = [table.c[column] == sa.bindparam(f"b_{alias}", type_=table.c[column].type) for column, alias in match]
    values = {name: sa.bindparam(f"b_{name}", type_=table.c[name].type) for name in names}
    return sa.update(table).where(*found).values(**values)


def _recordset(record: Sequence[tuple[str, "sa.Column[object]"]], parameter: str = "rows") -> str:
    fields = ", ".join(f"{_quote(name)} {column.type.compile(_DIALECT)}" for name, column in record)
    return f"json_to_recordset(%({parameter})s::json) AS new({fields})"


def _quote(name: str) -> str:
    return f'"{name}"'


def _json(rows: Sequence[Row]) -> str:
    return json.dumps(rows, default=_plain)


def _plain(value: object) -> str:
    if isinstance(value, dt.datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in a row")
