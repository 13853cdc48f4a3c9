"""The state machine: the contract's table to the letter, and nothing is written that it forbids."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import sqlalchemy as sa

from smsclick._values.causes import Cause
from smsclick.contract import State, messages
from tests.factories import message
from worker.lifecycle import message_rows, state_machine
from worker.lifecycle.model import TRANSITIONS, Change, IllegalTransitionError, Note

CONTRACT = {
    "queued": {"sending", "expired", "cancelled"},
    "sending": {"sent", "queued", "unknown", "failed"},
    "unknown": {"sent", "queued", "failed"},
    "sent": {"delivered", "rejected", "undetermined"},
    "delivered": set(),
    "rejected": set(),
    "failed": {"queued"},
    "expired": set(),
    "cancelled": set(),
    "undetermined": {"delivered", "rejected"},
}


def test_the_transitions_are_the_contracts_table() -> None:
    assert {str(state): {str(each) for each in to} for state, to in TRANSITIONS.items()} == CONTRACT


@pytest.mark.parametrize(("was", "becomes"), list(itertools.permutations(State, 2)))
def test_a_change_is_written_only_where_the_table_allows_it(was: State, becomes: State) -> None:
    engine = sa.create_engine("sqlite://")
    messages.metadata.create_all(engine)
    before = message(state=was)
    change = Change(before, dataclasses.replace(before, state=becomes), Note(Cause.OPERATOR))
    with engine.begin() as connection:
        connection.execute(sa.insert(messages).values(id=1, key="k", phone="5551402211", text="x", state=was))
        if becomes in CONTRACT[was]:
            state_machine.apply(connection, [change])
        else:
            with pytest.raises(IllegalTransitionError):
                state_machine.apply(connection, [change])
        written = connection.execute(sa.select(messages.c.state)).scalar_one()
    engine.dispose()
    assert written == (becomes if becomes in CONTRACT[was] else was)


def test_one_forbidden_change_keeps_the_others_from_being_written_too() -> None:
    engine = sa.create_engine("sqlite://")
    messages.metadata.create_all(engine)
    good, bad = message(id=1), message(id=2, state=State.DELIVERED)
    with engine.begin() as connection:
        for each in (good, bad):
            values = {"id": each.id, "key": str(each.id), "phone": "5551402211", "text": "x", "state": each.state}
            connection.execute(sa.insert(messages).values(values))
        with pytest.raises(IllegalTransitionError):
            state_machine.apply(
                connection,
                [
                    Change(good, dataclasses.replace(good, state=State.CANCELLED), None),
                    Change(bad, dataclasses.replace(bad, state=State.QUEUED), None),
                ],
            )
        assert list(connection.scalars(sa.select(messages.c.state))) == ["queued", "delivered"]
    engine.dispose()


def test_a_row_that_is_not_as_it_was_decided_on_is_not_overwritten() -> None:
    engine = sa.create_engine("sqlite://")
    messages.metadata.create_all(engine)
    stale = message(state=State.QUEUED)
    with engine.begin() as connection:
        values = {"id": 1, "key": "k", "phone": "5551402211", "text": "x", "state": State.CANCELLED}
        connection.execute(sa.insert(messages).values(values))
        with pytest.raises(IllegalTransitionError):
            state_machine.apply(connection, [Change(stale, dataclasses.replace(stale, state=State.SENDING), None)])
        assert connection.execute(sa.select(messages.c.state)).scalar_one() == "cancelled"
    engine.dispose()


def test_states_are_literals_in_the_sql_so_that_partial_indexes_serve() -> None:
    query = sa.select(messages.c.id).where(message_rows.in_state(State.SENT, State.DELIVERED))
    compiled = query.compile(compile_kwargs={"render_postcompile": True})
    assert "IN ('sent', 'delivered')" in str(compiled)
