"""What was sent and charged, counted once for each event, on each database."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import sqlalchemy as sa

from smsclick.contract import State, events, messages
from tests.factories import insert
from worker.account import usage
from worker.account.usage import Usage
from worker.sql.now import database_now

if TYPE_CHECKING:
    import pytest

    from smsclick._database.engine import Database


def change(database: Database, ids: list[int], to: State, *, minutes_ago: float) -> None:
    """These messages changed their state so long ago, with an event each."""
    with database.begin() as connection:
        at = database_now(connection) - dt.timedelta(minutes=minutes_ago)
        was = State.SENDING if to is State.SENT else State.SENT
        for each in ids:
            connection.execute(
                sa.insert(events).values(
                    message_id=each, at=at, from_state=was, to_state=to, cause="answered", attempt=1
                )
            )


def charge(database: Database, ids: list[int], credits_used: int | None, text: str = "hola") -> None:
    with database.begin() as connection:
        connection.execute(
            sa.update(messages).where(messages.c.id.in_(ids)).values(credits_used=credits_used, text=text)
        )


def seen(database: Database, *, days: float = 1) -> Usage:
    with database.read() as connection:
        return usage.read(connection, database_now(connection) - dt.timedelta(days=days))


def test_each_event_is_counted_once_however_often_it_is_counted(database: Database) -> None:
    ids = insert(database, 5)
    charge(database, ids, 2, "x" * 151)
    charge(database, ids[4:], None)
    change(database, ids, State.SENT, minutes_ago=30)
    expected = Usage(sent=5, credits=8, predicted=8)
    assert seen(database) == expected  # although nobody has counted
    for _ in range(3):
        usage.count(database)
        assert seen(database) == expected
    change(database, ids[:3], State.DELIVERED, minutes_ago=15)
    change(database, ids[3:], State.REJECTED, minutes_ago=0)
    expected += Usage(delivered=3, rejected=2)
    assert seen(database) == expected
    usage.count(database)
    assert seen(database) == expected
    with database.read() as connection:
        assert len(connection.execute(sa.select(sa.text("1")).select_from(sa.text("smsclick_usage"))).all()) > 1


def test_a_charge_that_differs_from_the_prediction_is_seen(database: Database) -> None:
    ids = insert(database, 2)
    charge(database, ids, 2)
    change(database, ids, State.SENT, minutes_ago=1)
    usage.count(database)
    found = seen(database)
    assert (found.credits, found.predicted) == (4, 2)
    charge(database, ids, 2, "")  # an erased text predicts what was charged
    assert (found.credits, found.predicted) == (4, 2)


def test_only_what_is_recent_counts(database: Database) -> None:
    ids = insert(database, 2)
    charge(database, ids, 1)
    change(database, ids[:1], State.SENT, minutes_ago=200)
    change(database, ids[1:], State.SENT, minutes_ago=5)
    usage.count(database)
    assert seen(database, days=1 / 24).credits == 1
    assert seen(database).credits == 2


def test_many_events_are_counted_in_parts(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "EVENTS_AT_ONCE", 3)
    ids = insert(database, 8)
    charge(database, ids, 1)
    change(database, ids[:2], State.SENT, minutes_ago=60)
    usage.count(database)
    change(database, ids[2:], State.SENT, minutes_ago=30)
    usage.count(database)
    assert seen(database).sent == 8
