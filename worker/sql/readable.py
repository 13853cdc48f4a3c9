"""Read what can be read of rows some of which cannot: in halves, by rows and then by columns.

The usual way reads many rows at once and fails as a whole where one of them holds a time outside of the calendar or
bytes that are no UTF-8. Only then this is asked.
"""

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from smsclick._database.engine import Fault, fault_of
from smsclick.contract import messages

UNREADABLE = "(unreadable)"
"""Stands where a value should, for people; programs compare with `is`."""

Values = dict[str, Any]


def read(
    connection: sa.Connection, ids: Collection[int], columns: Sequence[sa.Column[Any]] | None = None
) -> dict[int, Values]:
    """The values of messages by id and column.

    Args:
        connection: in a transaction; a row that fails costs no more than a savepoint.
        ids: of messages.
        columns: which ones; None: all.
    """
    wanted = list(messages.c if columns is None else columns)
    return _read(connection, sorted(ids), wanted) if ids else {}


def shown(value: object) -> Any:  # noqa: ANN401 - as it came
    """A value for people and records: SQLite gives bytes where somebody stored them in place of text."""
    return UNREADABLE if isinstance(value, bytes) else value


def _read(connection: sa.Connection, ids: Sequence[int], columns: Sequence[sa.Column[Any]]) -> dict[int, Values]:
    query = sa.select(messages.c.id.label("row_id"), *columns).where(messages.c.id.in_(ids)).order_by(messages.c.id)
    try:
        with connection.begin_nested():
            rows = connection.execute(query).all()
    except Exception as error:
        if fault_of(error) is not Fault.ROW:
            raise
    else:
        names = [column.name for column in columns]
        return {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}
    if len(ids) > 1:
        half = len(ids) // 2
        return _read(connection, ids[:half], columns) | _read(connection, ids[half:], columns)
    if len(columns) > 1:
        half = len(columns) // 2
        first, second = _read(connection, ids, columns[:half]), _read(connection, ids, columns[half:])
        return {each: first[each] | second[each] for each in first.keys() & second.keys()}
    return {ids[0]: {columns[0].name: UNREADABLE}}
