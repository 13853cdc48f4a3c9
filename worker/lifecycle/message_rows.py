"""Read and lock rows of messages, with the states as literals so that the partial indexes serve."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick.contract import IfAbsent, Priority, State, messages
from worker.lifecycle.model import FIELDS, Message
from worker.sql import bulk

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


def existing(connection: sa.Connection, ids: Collection[int]) -> frozenset[int]:
    """Which of these rows there are, whoever holds them."""
    if not ids:
        return frozenset()
    query = sa.select(messages.c.id).where(bulk.among(connection, messages.c.id, ids))
    return frozenset(connection.scalars(query))


_ALL = sa.select(*COLUMNS)


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
