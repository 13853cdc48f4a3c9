"""Rows of a plain INSERT: the database refuses what no row may be, and what cannot be sent fails alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError

from smsclick.contract import State, messages
from smsclick.texts import MAX_TEXT_LENGTH
from tests.factories import row, states
from worker import send

if TYPE_CHECKING:
    from smsclick.database import Database
    from smsclick.simulator import Simulator
    from worker.runtime import Runtime

GOOD: dict[str, object] = {"key": "order-1", "phone": "5551402211", "text": "Tu pedido va en camino"}
BAD: list[dict[str, object]] = [
    {"phone": "123"},
    {"phone": ""},
    {"phone": "+1 212 555 1234"},
    {"text": ""},
    {"text": " \n"},
    {"text": "x" * (MAX_TEXT_LENGTH + 1)},
    {"text": "a\x07b"},
]


def insert(connection: sa.Connection, values: dict[str, object]) -> None:
    """As a program in any language does."""
    names = ", ".join(map(connection.dialect.identifier_preparer.quote, values))
    marks = ", ".join(f":{name}" for name in values)
    connection.execute(sa.text(f"INSERT INTO smsclick_messages ({names}) VALUES ({marks})"), values)  # noqa: S608


def test_rows_that_cannot_be_sent_fail_with_a_reason_and_harm_no_other(
    database: Database, runtime: Runtime, simulator: Simulator
) -> None:
    with database.begin() as connection:
        for number, bad in enumerate(BAD):
            # Each with a phone of its own: twins would wait for each other.
            insert(connection, GOOD | {"key": f"bad-{number}", "phone": f"555140990{number}"} | bad)
        insert(connection, GOOD)
        first = connection.execute(sa.select(sa.func.min(messages.c.id))).scalar_one()
    send.send(runtime, list(range(first, first + len(BAD) + 1)))
    runtime.recorder.close()
    assert states(database) == [State.FAILED] * len(BAD) + [State.SENT]
    for message_id in range(first, first + len(BAD)):
        error = row(database, message_id).last_error
        assert error
        assert "\n" not in error
        assert "990" not in error
    assert [entry.phone for entry in simulator.ledger()] == [GOOD["phone"]]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"priority": 7}, "ck_smsclick_messages_priority"),
        ({"if_absent": "maybe"}, "ck_smsclick_messages_if_absent"),
        ({"phone": None}, "phone"),
        ({"key": None}, "key"),
    ],
)
def test_the_database_refuses_a_row_by_the_name_of_what_it_breaks(
    database: Database, values: dict[str, object], says: str
) -> None:
    with pytest.raises(DatabaseError, match=says), database.engine.begin() as connection:
        insert(connection, GOOD | values)
    assert states(database) == []
