"""Read and lock rows of messages, with the states as literals so that the partial indexes serve."""

import datetime as dt
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick.contract import IfAbsent, Priority, State, messages
from worker.lifecycle.model import FIELDS, Message
from worker.sql import bulk
from worker.sql.now import database_now

COLUMNS = tuple(messages.c[name] for name in FIELDS)
"""What a step selects, first and in this order, of a row that it hands to `read`."""
_STATE, _PRIORITY, _IF_ABSENT = (FIELDS.index(name) for name in ("state", "priority", "if_absent"))
# A look-up costs a quarter of an enum's call.
_STATES = {str(state): state for state in State}
_PRIORITIES = {int(priority): priority for priority in Priority}
_IF_ABSENTS = {str(choice): choice for choice in IfAbsent}


def read(row: Any) -> Message:  # noqa: ANN401 - a Row, whose columns no type can name
    """The `Message` of a row that begins with `COLUMNS`."""
    values = list(row[: len(FIELDS)])
    values[_STATE] = _STATES[values[_STATE]]
    values[_PRIORITY] = _PRIORITIES[values[_PRIORITY]]
    values[_IF_ABSENT] = _IF_ABSENTS[values[_IF_ABSENT]]
    return Message(*values)


def in_state(*states: State) -> sa.ColumnElement[bool]:
    """A condition with the states as literals: a bound parameter could lose the partial indexes."""
    literals = [sa.literal(str(state), literal_execute=True) for state in states]
    column: sa.Column[str] = messages.c.state
    return column == literals[0] if len(literals) == 1 else column.in_(literals)


def lock(connection: sa.Connection, ids: Collection[int], *, skip_locked: bool = False) -> dict[int, Message]:
    """Lock rows by id, always in the order of ids so that two callers cannot deadlock.

    Args:
        connection: in a transaction.
        ids: of the rows.
        skip_locked: leave out what others hold, instead of waiting for them.
    """
    query = _ALL.where(bulk.among(connection, messages.c.id, ids)).order_by(messages.c.id)
    return {row.id: read(row) for row in connection.execute(query.with_for_update(skip_locked=skip_locked))}


def lock_free(
    connection: sa.Connection, ids: Collection[int], *, lock_timeout: str | None = None
) -> tuple[dict[int, Message], dt.datetime]:
    """Lock those of these rows that nobody holds, and read the clock, in one statement: it does not wait.

    Args:
        connection: in a transaction.
        ids: of the rows.
        lock_timeout: how long later statements of the transaction may wait for a lock, such as `2s`; only PostgreSQL
            bounds it so.

    Returns:
        The rows by id, and the database's time.
    """
    bounded = lock_timeout is not None and connection.dialect.name == "postgresql"
    query = (_ALL_BOUNDED if bounded else _ALL_NOW).where(bulk.among(connection, messages.c.id, ids))
    rows = connection.execute(
        query.order_by(messages.c.id).with_for_update(skip_locked=True),
        {"lock_timeout": lock_timeout} if bounded else {},
    ).all()
    if rows:
        return {row.id: read(row) for row in rows}, rows[0].now
    if bounded:
        connection.execute(sa.select(_BOUND), {"lock_timeout": lock_timeout})
    return {}, database_now(connection)


def existing(connection: sa.Connection, ids: Collection[int]) -> frozenset[int]:
    """Which of these rows there are, whoever holds them."""
    if not ids:
        return frozenset()
    query = sa.select(messages.c.id).where(bulk.among(connection, messages.c.id, ids))
    return frozenset(connection.scalars(query))


_ALL = sa.select(*COLUMNS)
_ALL_NOW = _ALL.add_columns(db_now().label("now"))
_BOUND = sa.func.set_config("lock_timeout", sa.bindparam("lock_timeout", type_=sa.String), sa.true())
"""As SET LOCAL, but in the statement that is sent anyway."""
_ALL_BOUNDED = _ALL_NOW.add_columns(_BOUND)


def lock_due(connection: sa.Connection, state: State, limit: int) -> list[Message]:
    """Lock up to `limit` rows of a state that are due by the database's clock, skipping those that others hold."""
    rows = connection.execute(
        sa.select(*COLUMNS)
        .where(in_state(state), messages.c.due_at <= db_now())
        .order_by(messages.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [read(row) for row in rows]


def due_ids(connection: sa.Connection, state: State, limit: int) -> list[int]:
    """The ids of what `lock_due` would lock, without reading anything else of those rows."""
    query = sa.select(messages.c.id).where(in_state(state), messages.c.due_at <= db_now())
    return [row.id for row in connection.execute(query.order_by(messages.c.due_at).limit(limit))]
