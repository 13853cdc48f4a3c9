"""Count the messages in each state, without reading ten million rows.

Messages that are on their way are always counted: partial indexes hold only these. Messages in other states are counted
while the table is small; in a large table their number is the database's own estimate, which costs nothing.
"""

import dataclasses
import json
import re
from typing import Final

import sqlalchemy as sa

from smsclick.contract import State, messages
from worker.lifecycle import message_rows

MOST_COUNTED_ROWS: Final = 500_000
"""In a table with more rows, only the states of `ON_THE_WAY` are counted."""

ON_THE_WAY: Final = (State.QUEUED, State.SENDING, State.UNKNOWN, State.SENT)
"""States that a message leaves without an operator."""


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """Messages by state.

    Attributes:
        states: the number of messages in each state.
        estimated: the states whose number is an estimate.
    """

    states: dict[State, int]
    estimated: frozenset[State] = frozenset()


def count(connection: sa.Connection, *, counted: int = MOST_COUNTED_ROWS) -> Counts:
    """Count the messages in each state.

    Args:
        connection: the statements take longer with more messages on their way.
        counted: with more rows in the table than this, the other states are estimated.
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
    # Always true. The databases use the partial indexes only if the query repeats their conditions.
    if state in {State.SENDING, State.SENT}:
        query = query.where(messages.c.due_at.is_not(None))
    if state is State.UNKNOWN:
        query = query.where(messages.c.unknown_since.is_not(None))
    return connection.execute(query).scalar_one()


def _estimate(connection: sa.Connection, query: sa.Select[tuple[int]]) -> int:
    """Return how many rows the planner expects."""
    text = str(query.compile(connection.engine, compile_kwargs={"literal_binds": True}))
    explain = "EXPLAIN (FORMAT JSON)" if connection.dialect.name == "postgresql" else "EXPLAIN FORMAT=JSON"
    plan = connection.exec_driver_sql(f"{explain} {text}").scalar_one()
    written = plan if isinstance(plan, str) else json.dumps(plan)
    expected = re.search(r'"(?:Plan Rows|rows)": *(\d+)', written)
    return int(expected.group(1)) if expected else 0


def _rounded(number: int) -> int:
    """Round to two digits, so that nobody reads an estimate as an exact number."""
    digits = max(0, len(str(number)) - 2)
    return round(number, -digits)
