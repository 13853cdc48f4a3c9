"""What goes first: high before a bulk of low ones, low ones now and then, and more wake-ups gain nothing."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
from collections import Counter
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick._values.causes import Cause
from smsclick._values.quiet_hours import QuietHours
from smsclick.contract import Priority, State, messages
from tests import one_sender
from tests.factories import LONG_AGO, PHONE, POLICY, Roll, change, clock, history, insert, row, states
from tests.query_plans import recorded
from worker.queue import claims

if TYPE_CHECKING:
    from collections.abc import Collection

    from smsclick.simulator import Simulator
    from tests.integration.conftest import MakeRuntime
    from worker.lifecycle.attempt import Claim

NOBODYS, NORMALS, LOWS = Roll(0.99), Roll(0.15), Roll(0.05)
"""Whose turn the dice say it is, besides the order of priority."""

BULK = 100_000


def claim(
    database: Database, ids: Collection[int] | None = None, limit: int = 10, rng: random.Random = NOBODYS
) -> list[Claim]:
    return database.transact(lambda connection: claims.claim(connection, ids, limit, POLICY, rng=rng))


def ids_of(claimed: Collection[Claim]) -> list[int]:
    return [each.id for each in claimed]


def priorities(database: Database, claimed: Collection[Claim]) -> list[int]:
    with database.read() as connection:
        query = sa.select(messages.c.id, messages.c.priority).where(messages.c.id.in_(ids_of(claimed)))
        found = {found.id: found.priority for found in connection.execute(query)}
    return [found[each.id] for each in claimed]


@pytest.mark.parametrize(
    ("rng", "limit", "expected"),
    [
        (NOBODYS, 6, [0, 0, 0, 0, 0, 0]),
        (NORMALS, 6, [0, 0, 0, 1, 1, 1]),
        (LOWS, 6, [0, 0, 0, 2, 2, 2]),
        (LOWS, 5, [0, 0, 2, 2, 2]),
        (LOWS, 1, [2]),
        (NOBODYS, 40, [*[0] * 8, *[1] * 8, *[2] * 8]),
        (LOWS, 40, [*[0] * 8, *[1] * 8, *[2] * 8]),
    ],
)
def test_in_its_turn_a_lower_class_gets_half_of_a_claim_and_what_nobody_else_needs(
    database: Database, rng: random.Random, limit: int, expected: list[int]
) -> None:
    for priority in (Priority.LOW, Priority.NORMAL, Priority.HIGH):
        insert(database, 8, priority=priority)
    claimed = claim(database, limit=limit, rng=rng)
    assert priorities(database, claimed) == expected
    assert len(set(ids_of(claimed))) == len(claimed)


def test_wake_ups_for_a_bulk_do_not_overtake_urgent_messages(database: Database) -> None:
    low, normal, high = (
        insert(database, 2, priority=priority) for priority in (Priority.LOW, Priority.NORMAL, Priority.HIGH)
    )
    assert claim(database, low) == []
    assert claim(database, normal) == []
    assert ids_of(claim(database, [*low, *high])) == high
    assert claim(database, low) == []
    assert ids_of(claim(database, normal)) == normal
    assert ids_of(claim(database, low)) == low


def test_an_urgent_message_for_later_holds_up_nobody(database: Database) -> None:
    insert(database, priority=Priority.HIGH, due_at=clock(database) + dt.timedelta(hours=1))
    low = insert(database, priority=Priority.LOW)
    assert ids_of(claim(database, low)) == low


def test_the_canary_goes_whoever_else_waits(database: Database) -> None:
    insert(database, priority=Priority.HIGH)
    [low] = insert(database, priority=Priority.LOW)
    claimed = database.transact(lambda connection: claims.claim(connection, [low], 1, POLICY, canary=low))
    assert [(each.id, each.canary) for each in claimed] == [(low, True)]


def test_a_high_one_is_claimed_at_once_behind_100000_low_ones_which_still_move_behind_high_ones(
    migrated_postgres_url: str,
) -> None:
    database = Database(migrated_postgres_url)

    def bulk(first: int, count: int, priority: Priority) -> None:
        with database.begin() as connection:
            connection.execute(
                sa.text(
                    "INSERT INTO smsclick_messages (key, phone, text, priority) SELECT :name || n, "
                    "'55' || lpad(n::text, 8, '0'), 'texto ' || n, :priority FROM generate_series(:first, :last) n"
                ),
                {"name": f"bulk-{priority}-", "priority": int(priority), "first": first, "last": first + count - 1},
            )

    bulk(0, BULK, Priority.LOW)
    with database.begin() as connection:
        connection.execute(sa.text("ANALYZE smsclick_messages"))  # as autovacuum does within a minute
    for _ in range(20):
        [urgent] = insert(database, priority=Priority.HIGH, due_at=clock(database))
        assert ids_of(claim(database))[0] == urgent
    with recorded(database.engine) as ran:
        assert claim(database)
    looked = [scan.rows for each in ran for scan in each.scans if scan.table == messages.name]
    assert 0 < max(looked) < BULK // 20

    # As many high ones as can be claimed: a low one in twenty all the same.
    bulk(BULK, 3000, Priority.HIGH)
    rng = random.Random(1)
    gone = Counter(priority for _ in range(200) for priority in priorities(database, claim(database, rng=rng)))
    assert 0.02 < gone[Priority.LOW] / gone.total() < 0.10
    assert gone[Priority.HIGH] / gone.total() > 0.85
    database.dispose()


# --- Quiet hours

MEXICO = ZoneInfo("America/Mexico_City")


def quiet_now(database: Database) -> QuietHours:
    """Hours that began half an hour ago in Mexico City, so not yet further west, and that end in two hours."""
    here = clock(database).astimezone(MEXICO)
    begin, end = here - dt.timedelta(minutes=30), here + dt.timedelta(hours=2)
    return QuietHours(*(dt.time(each.hour, each.minute) for each in (begin, end)))


def test_low_messages_to_where_it_is_quiet_wait_and_hold_up_no_other(database: Database) -> None:
    policy = dataclasses.replace(POLICY, quiet=quiet_now(database))
    asleep = insert(database, 30, priority=Priority.LOW)
    awake = insert(database, priority=Priority.LOW, phone="664 123 4567", due_at=LONG_AGO + dt.timedelta(days=1))
    nowhere = insert(database, priority=Priority.LOW, phone="no phone", due_at=LONG_AGO + dt.timedelta(days=2))
    claimed = database.transact(lambda connection: claims.claim(connection, None, 10, policy, rng=NOBODYS))
    assert ids_of(claimed) == [*awake, *nowhere]
    waiting = row(database, asleep[-1])
    assert (waiting.state, waiting.attempts) == ("queued", 0)
    assert dt.timedelta(minutes=118) < waiting.due_at - clock(database) <= dt.timedelta(hours=2)
    assert [each.cause for each in history(database, asleep[-1])] == [Cause.QUIET_HOURS]


def test_a_message_expires_in_the_quiet_hours_and_not_after_them(database: Database) -> None:
    now = clock(database)
    [message_id] = insert(database, priority=Priority.LOW, expires_at=now + dt.timedelta(minutes=5))
    policy = dataclasses.replace(POLICY, quiet=quiet_now(database))
    assert database.transact(lambda connection: claims.claim(connection, None, 10, policy)) == []
    change(database, [message_id], expires_at=now)
    assert database.transact(lambda connection: claims.expire(connection, 10)) == 1
    assert row(database, message_id).state == State.EXPIRED


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_setting_keeps_low_messages_and_lets_others_go(
    database: Database, make_runtime: MakeRuntime, simulator: Simulator
) -> None:
    hours = quiet_now(database)
    runtime = make_runtime(SMSCLICK_QUIET_HOURS=f"{hours.begin:%H:%M}-{hours.end:%H:%M}")
    ids = insert(database, phone=PHONE, text="a", priority=Priority.LOW) + insert(database, text="b")
    assert one_sender.send(runtime, ids) == 1
    assert states(database) == ["queued", "sent"]
    assert [entry.text for entry in simulator.ledger()] == ["b"]
