"""Messages of equal content: they wait for the one in flight, out of the claims' way, and go one after the other."""

from __future__ import annotations

import datetime as dt
import random
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from smsclick.contract import Priority, State, messages
from smsclick.provider.results import Accepted
from tests.factories import LONG_AGO, PHONE, POLICY, Roll, change, clock, insert, noted, row, settings
from worker.lifecycle import parking
from worker.lifecycle.attempt import Ended
from worker.lifecycle.fingerprint import wire_key
from worker.lifecycle.policy import Released
from worker.operator import message_changes, message_history
from worker.queue import claims
from worker.sending.results import record_results

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smsclick._database.engine import Database
    from worker.lifecycle.attempt import Claim

TEXT = "Alerta: el servidor no responde"
SETTINGS = settings("sqlite:///never-opened.db")
RNG = random.Random(0)
LOOP = 8000
"""As many rows as a backend that loops has left."""


def claim(database: Database, limit: int = 100) -> list[Claim]:
    rng = Roll(0.99)
    return database.transact(lambda connection: claims.claim(connection, None, limit, POLICY, rng=rng))


def equal(database: Database, count: int, **values: object) -> list[int]:
    return insert(database, count, phone=PHONE, text=TEXT, **values)


def in_flight(database: Database) -> int:
    """Insert a message of unknown outcome that no report has shown yet; return its id."""
    later = clock(database) + dt.timedelta(hours=1)
    now = clock(database)
    return insert(
        database,
        phone=PHONE,
        text=TEXT,
        state=State.UNKNOWN,
        wire_key=wire_key(PHONE, TEXT),
        due_at=later,
        attempts=1,
        attempted_at=now,
        unknown_since=now,
        token="first",
    )[0]


def fill(database: Database, count: int) -> None:
    """Rows of equal content under keys of their own, in few statements."""
    rows = [{"key": f"loop-{n}", "phone": PHONE, "text": TEXT, "due_at": LONG_AGO} for n in range(count)]
    with database.begin() as connection:
        connection.execute(sa.insert(messages), rows)


@pytest.fixture
def statements(database: Database) -> Iterator[list[str]]:
    """What is asked of the database meanwhile."""
    seen: list[str] = []

    def before(*arguments: object) -> None:
        seen.append(str(arguments[2]))

    event.listen(database.engine, "before_cursor_execute", before)
    yield seen
    event.remove(database.engine, "before_cursor_execute", before)


def count(database: Database, *conditions: sa.ColumnElement[bool]) -> int:
    with database.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(messages).where(*conditions)).scalar_one()


@pytest.mark.parametrize("database", ["sqlite", "postgres"], indirect=True)
def test_a_normal_message_behind_thousands_of_equal_ones_is_claimed_at_once(
    database: Database, statements: list[str]
) -> None:
    in_flight(database)
    fill(database, LOOP)
    [normal] = insert(database, due_at=clock(database))
    statements.clear()
    assert [each.id for each in claim(database)] == [normal]
    looked = sum(1 for each in statements if "FOR UPDATE" in each or "ORDER BY" in each)
    assert looked < 60
    assert count(database, messages.c.waits_for.is_not(None)) == LOOP
    # From now on they are in nobody's way: each claim looks at what is due and nothing else.
    [another] = insert(database, due_at=clock(database))
    statements.clear()
    assert [each.id for each in claim(database)] == [another]
    assert len(statements) < 15
    with database.read() as connection:
        assert claims.waiting(connection, 100) == []


def test_one_of_them_goes_for_each_that_lands(database: Database) -> None:
    ids = equal(database, 4)
    for expected in ids:
        [claimed] = claim(database)
        assert claimed.id == expected
        assert claim(database) == []
        due = [each for each in ids if each > expected][:1]
        assert record(database, claimed, Accepted(1000 + expected, 1, "ok")) == due
    assert count(database, messages.c.state == State.SENT) == 4


def record(database: Database, claimed: Claim, outcome: Accepted | Released) -> list[int]:
    """Record a result; returns the ids of messages of equal content that may be sent now."""
    with noted(database) as effects:
        database.transact(lambda connection: record_results(connection, [Ended(claimed, outcome, 0)], SETTINGS, RNG))
    return [message_id for each in effects for message_id in each.sendable]


def test_the_first_to_go_is_the_one_of_the_highest_priority(database: Database) -> None:
    equal(database, 1)
    [claimed] = claim(database)
    equal(database, 1)
    [high] = equal(database, 1, priority=Priority.HIGH)
    assert claim(database) == []
    assert record(database, claimed, Accepted(1, 1, "ok")) == [high]


def test_one_that_is_released_gives_way_to_the_next(database: Database) -> None:
    first, second = equal(database, 2)
    [claimed] = claim(database)
    record(database, claimed, Released())
    assert sorted(each.id for each in claim(database)) in ([first], [second])
    assert count(database, messages.c.waits_for.is_not(None)) == 1


@pytest.mark.parametrize("becomes", [State.CANCELLED, State.EXPIRED])
def test_what_waits_and_is_withdrawn_is_never_released(database: Database, becomes: State) -> None:
    first, second, third = equal(database, 3)
    [claimed] = claim(database)
    assert claimed.id == first
    if becomes is State.CANCELLED:
        assert [each.problem for each in message_changes.cancel(database, [f"id:{second}"], actor="ana")] == [None]
    else:
        change(database, [second], expires_at=LONG_AGO)
        database.transact(lambda connection: claims.expire(connection, 10))
    assert (row(database, second).state, row(database, second).waits_for) == (becomes, None)
    assert record(database, claimed, Accepted(1, 1, "ok")) == [third]
    assert row(database, second).due_at is None


def test_a_release_that_was_missed_is_made_good_by_the_sweep(database: Database) -> None:
    """A claim parks it just as the equal message is no longer in flight."""
    unknown = in_flight(database)
    waiting = equal(database, 3)
    assert claim(database) == []

    def sweep() -> list[int]:
        return database.transact(lambda connection: parking.sweep(connection, RNG))

    assert sweep() == []
    change(database, [unknown], state=State.FAILED, wire_key=None, due_at=None, unknown_since=None)
    assert sweep() == waiting[:1]
    assert [each.id for each in claim(database)] == waiting[:1]
    assert sweep() == []


def test_the_sweep_comes_to_every_content_however_many_wait(database: Database) -> None:
    now = clock(database) + dt.timedelta(hours=1)
    rows = [
        {"key": f"k{n}", "phone": PHONE, "text": f"{n}", "due_at": now, "waits_for": f"{n * 7919 % 9973:032x}"}
        for n in range(250)
    ]
    with database.begin() as connection:
        connection.execute(sa.insert(messages), rows)
    for _ in range(200):
        database.transact(lambda connection: parking.sweep(connection, RNG))
        if not count(database, messages.c.waits_for.is_not(None)):
            break
    assert count(database, messages.c.due_at < now) == 250


def test_show_says_what_it_waits_for(database: Database) -> None:
    in_flight(database)
    [waits] = equal(database, 1)
    claim(database)
    assert "another message with its phone and text" in message_history.read(database, f"id:{waits}").next
