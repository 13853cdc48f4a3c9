"""Count the messages in each state, without reading ten million rows.

Messages that are on their way are always counted: partial indexes hold only these. Messages in other states are counted
while the table is small; in a large table their number is the database's own estimate, which costs nothing.
"""

import dataclasses
import json
import random
import re
from typing import Final

import sqlalchemy as sa

from smsclick.contract import State, messages
from worker.lifecycle import message_rows

MOST_COUNTED_ROWS: Final = 500_000
"""In a table with more rows, only the states of `ON_THE_WAY` are counted."""

_SAMPLED_IDS: Final = 2000

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


def count(connection: sa.Connection, *, counted: int = MOST_COUNTED_ROWS, most: int | None = None) -> Counts:
    """Count the messages in each state.

    Args:
        connection: without `most` the statements take longer with more messages on their way.
        counted: with more rows in the table than this, the other states are estimated.
        most: in such a table, a state of `ON_THE_WAY` with so many messages is estimated too; on SQLite its number
            stops there.
    """
    if (most is None and connection.dialect.name == "sqlite") or _rows(connection) <= counted:
        rows = connection.execute(sa.select(messages.c.state, sa.func.count()).group_by(messages.c.state))
        found: dict[str, int] = {row[0]: row[1] for row in rows}
        return Counts({state: found.get(state, 0) for state in State})
    if most is not None:
        return _bounded(connection, most)
    return Counts(
        {
            state: _on_the_way(connection, state)
            if state in ON_THE_WAY
            else _rounded(_estimate(connection, sa.select(messages.c.id).where(message_rows.in_state(state))))
            for state in State
        },
        frozenset(State) - frozenset(ON_THE_WAY),
    )


def _rows(connection: sa.Connection) -> int:
    """How many rows the table has, about; at most so many on SQLite."""
    if connection.dialect.name != "sqlite":
        return _estimate(connection, sa.select(messages.c.id))
    first, last = connection.execute(sa.select(sa.func.min(messages.c.id), sa.func.max(messages.c.id))).one()
    return 0 if first is None else last - first + 1


def _bounded(connection: sa.Connection, most: int) -> Counts:
    states = {state: up_to(connection, state, most) for state in ON_THE_WAY}
    estimated = {state for state, number in states.items() if number >= most}
    others = frozenset(State) - frozenset(ON_THE_WAY)
    if connection.dialect.name == "sqlite":
        states |= {state: number for state, number in _sampled(connection).items() if state in others}
    else:
        for state in others:
            states[state] = _rounded(
                _estimate(connection, sa.select(messages.c.id).where(message_rows.in_state(state)))
            )
    return Counts({state: states[state] for state in State}, frozenset(estimated) | others)


def _sampled(connection: sa.Connection) -> dict[State, int]:
    """Estimate the messages in each state by a sample of ids, as SQLite keeps no statistics of states."""
    first, last = connection.execute(sa.select(sa.func.min(messages.c.id), sa.func.max(messages.c.id))).one()
    ids = random.sample(range(first, last + 1), _SAMPLED_IDS)
    rows = connection.execute(
        sa.select(messages.c.state, sa.func.count()).where(messages.c.id.in_(ids)).group_by(messages.c.state)
    )
    found: dict[str, int] = {row[0]: row[1] for row in rows}
    return {state: _rounded(found.get(state, 0) * (last - first + 1) // _SAMPLED_IDS) for state in State}


def up_to(connection: sa.Connection, state: State, most: int) -> int:
    """Count the messages in a state of `ON_THE_WAY`; more than `most` are the database's own estimate.

    SQLite does not estimate: there the number stops at `most`.
    """
    rows = sa.select(messages.c.id).where(*_conditions(state))
    counted = connection.execute(sa.select(sa.func.count()).select_from(rows.limit(most).subquery())).scalar_one()
    if counted < most or connection.dialect.name == "sqlite":
        return counted
    return max(most, _estimate(connection, rows))


def _on_the_way(connection: sa.Connection, state: State) -> int:
    return connection.execute(sa.select(sa.func.count()).where(*_conditions(state))).scalar_one()


def _conditions(state: State) -> list[sa.ColumnElement[bool]]:
    # The second is always true. The databases use the partial indexes only if the query repeats their conditions.
    conditions = [message_rows.in_state(state)]
    if state in {State.SENDING, State.SENT}:
        conditions.append(messages.c.due_at.is_not(None))
    if state is State.UNKNOWN:
        conditions.append(messages.c.unknown_since.is_not(None))
    return conditions


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
