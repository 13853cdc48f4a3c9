"""Insert rows that another process may be inserting at the same time."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError


def insert_once(connection: sa.Connection, table: sa.Table, *rows: Mapping[str, Any]) -> bool:
    """Insert rows, all of them or none, unless one of them is there already.

    The statement runs in a savepoint, so that the caller's transaction goes on where the insert is refused.

    Args:
        connection: in a transaction.
        table: whose primary key or unique column decides which process was first.
        rows: the values by columns, the same columns for each row. Values that another constraint refuses count as
            "there already" too: they must be checked before.

    Returns:
        True where this call inserted them.
    """
    return insert_once_with_id(connection, table, *rows) is not None


def insert_once_with_id(connection: sa.Connection, table: sa.Table, *rows: Mapping[str, Any]) -> Sequence[Any] | None:
    """Insert as `insert_once`.

    Returns:
        The primary key of a single row, an empty sequence for several rows; None where nothing was inserted.
    """
    try:
        with connection.begin_nested():
            if len(rows) > 1:
                # One statement: psycopg would send a list of rows as a pipeline, and while a process is stopped in the
                # middle of one, PostgreSQL's bound on idle transactions does not apply, so the locks would stay.
                connection.execute(sa.insert(table).values([dict(row) for row in rows]))
                return ()
            result = connection.execute(sa.insert(table).values(**rows[0]))
            return result.inserted_primary_key or ()
    except IntegrityError:
        return None
