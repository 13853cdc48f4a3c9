"""How many messages there are in each state, without reading ten million rows for it.

What is on its way is always counted: partial indexes hold nothing else. What is done is counted while the table is of a
size that is read in a moment; of a larger one it is the database's own estimate, which costs nothing.
"""

import dataclasses
import json
import re
from typing import Final

import sqlalchemy as sa

from smsclick.contract import State, messages
from worker.lifecycle import message_rows

COUNTED: Final = 500_000
"""Rows up to which every state is counted."""

ON_THE_WAY: Final = (State.QUEUED, State.SENDING, State.UNKNOWN, State.SENT)
"""States that a message leaves by itself."""


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """Messages by state; of those in `estimated` it is about so many."""

    states: dict[State, int]
    estimated: frozenset[State] = frozenset()


def count(connection: sa.Connection, *, counted: int = COUNTED) -> Counts:
    """Count by state.

    Args:
        connection: its statements take as long as there are messages on their way.
        counted: rows up to which those that are done are counted too.
    """
    if connection.dialect.name == "sqlite" or _estimate(connection, sa.select(messages.c.id)) <= counted:
        rows = connection.execute(sa.select(messages.c.state, sa.func.count()).group_by(messages.c.state))
        found: dict[str, int] = {row[0]: row[1] for row in rows}
        return Counts({state: found.get(state, 0) for state in State})
    return Counts(
        {
            state: _on_the_way(connection, state)
            if state in ON_THE_WAY
            else _rounded(_estimate(connection, sa.select(messages.c.id).where(message_rows.in_state(state))))
            for state in State
        },
        frozenset(State) - frozenset(ON_THE_WAY),
    )


def _on_the_way(connection: sa.Connection, state: State) -> int:
    query = sa.select(sa.func.count()).where(message_rows.in_state(state))
    # Always so; said for the partial indexes.
    if state in {State.SENDING, State.SENT}:
        query = query.where(messages.c.due_at.is_not(None))
    if state is State.UNKNOWN:
        query = query.where(messages.c.unknown_since.is_not(None))
    return connection.execute(query).scalar_one()


def _estimate(connection: sa.Connection, query: sa.Select[tuple[int]]) -> int:
    """How many rows the planner expects."""
    text = str(query.compile(connection.engine, compile_kwargs={"literal_binds": True}))
    explain = "EXPLAIN (FORMAT JSON)" if connection.dialect.name == "postgresql" else "EXPLAIN FORMAT=JSON"
    plan = connection.exec_driver_sql(f"{explain} {text}").scalar_one()
    written = plan if isinstance(plan, str) else json.dumps(plan)
    expected = re.search(r'"(?:Plan Rows|rows)": *(\d+)', written)
    return int(expected.group(1)) if expected else 0


def _rounded(number: int) -> int:
    """To two digits, so that nobody takes it for exact."""
    digits = max(0, len(str(number)) - 2)
    return round(number, -digits)
