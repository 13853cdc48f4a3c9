"""What goes first: high before a bulk of low ones, low ones now and then, and more wake-ups gain nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import functools
import random
from collections import Counter
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick._values.causes import Cause
from smsclick._values.quiet_hours import QuietHours
from smsclick.contract import HoldReason, Priority, State, messages
from tests import one_sender
from tests.factories import LONG_AGO, PHONE, POLICY, Roll, change, change_account, clock, history, insert, row, states
from tests.integration.test_pump import Halted
from tests.processes import wait_until
from tests.query_plans import recorded
from worker.queue import claims
from worker.sending import attempts
from worker.sending.calls import Calls
from worker.sending.claim_size import ClaimSize
from worker.sending.pump import Pump

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from smsclick.simulator import Simulator
    from tests.integration.conftest import MakeRuntime
    from worker.context import Context
    from worker.lifecycle.attempt import Claim
    from worker.runtime import Runtime

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


def test_high_ones_are_claimed_apart_from_the_others(database: Database) -> None:
    low, normal, high = (
        insert(database, 4, priority=priority) for priority in (Priority.LOW, Priority.NORMAL, Priority.HIGH)
    )

    def claim_only(only: tuple[Priority, ...], limit: int, rng: random.Random = NOBODYS) -> list[int]:
        work = functools.partial(claims.claim, ids=None, limit=limit, policy=POLICY, only=only, rng=rng)
        return ids_of(database.transact(work))

    assert claim_only(claims.HIGH, 3, LOWS) == high[:3]
    assert claim_only(claims.OTHERS, 3) == normal[:3]
    assert claim_only(claims.OTHERS, 2, LOWS) == [normal[3], low[0]]
    assert claim_only(claims.HIGH, 3) == high[3:]
    assert claim_only(claims.HIGH, 3) == []
    assert claim_only(claims.OTHERS, 9) == low[1:]


def test_the_canary_is_not_claimed_with_the_high_ones(database: Database, runtime: Runtime) -> None:
    ids = insert(database, 2, priority=Priority.HIGH)
    change_account(database, hold_reason=HoldReason.NO_BALANCE, hold_since=clock(database), canary_id=ids[1])
    assert attempts.claim(runtime, None, 2, claims.HIGH).claims == []
    assert ids_of(attempts.claim(runtime, None, 2, claims.OTHERS).claims) == [ids[1]]


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


# --- The pump


class Fed:
    """A pump whose threads do not run: what it claims is kept."""

    def __init__(self, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pump = Pump(runtime, 64)
        self.batches: list[list[int]] = []
        self.more = False
        """Whether the feeder would claim again at once."""
        monkeypatch.setattr(self.pump._calls, "take", lambda batch: self.batches.append(ids_of(batch.claims)))

    def claim(self, room: int, *, backlog: bool = True) -> list[list[int]]:
        """The transactions of the feeder for this room, and what each claimed."""
        self.batches.clear()
        self.pump._calls.backlog = backlog
        self.more = self.pump._claim(room)
        return list(self.batches)


@pytest.fixture
def fed(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fed]:
    made = Fed(runtime, monkeypatch)
    yield made
    made.pump.close()


def test_behind_a_bulk_the_high_ones_are_claimed_alone_before_the_large_claim(
    database: Database, fed: Fed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims._RNG, "random", lambda: 0.99)
    low = insert(database, 60, priority=Priority.LOW)
    assert fed.claim(10) == [low[:10]]
    high = insert(database, 2, priority=Priority.HIGH)
    assert fed.claim(20) == [high, low[10:28]]
    # More than the small claim takes: what it left is in the large one, before all others.
    high = insert(database, 6, priority=Priority.HIGH)
    assert fed.claim(20) == [high[:4], [*high[4:], *low[28:42]]]
    # Without a backlog, or where there is little room, one claim is small enough.
    high = insert(database, 3, priority=Priority.HIGH)
    assert fed.claim(4) == [[*high, low[42]]]
    high = insert(database, 3, priority=Priority.HIGH)
    assert fed.claim(20, backlog=False) == [[*high, *low[43:]]]


def test_a_high_one_that_comes_just_before_the_large_claim_is_left_to_the_next_small_one(
    database: Database, fed: Fed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims._RNG, "random", lambda: 0.99)
    low = insert(database, 30, priority=Priority.LOW)
    high: list[int] = []
    claim_next = attempts.claim

    def claim_and_enqueue(context: Context, ids: None, limit: int, only: tuple[Priority, ...]) -> attempts.Batch:
        batch = claim_next(context, ids, limit, only)
        if not high:
            high.extend(insert(database, priority=Priority.HIGH))
        return batch

    monkeypatch.setattr(attempts, "claim", claim_and_enqueue)
    assert fed.claim(20) == [low[:20]]
    assert fed.claim(10) == [high, low[20:29]]


def test_a_claim_has_no_more_rows_than_its_time_allows(
    database: Database, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = []
    claim_next = attempts.claim

    def claim_and_note(context: Context, ids: None, limit: int, only: tuple[Priority, ...]) -> attempts.Batch:
        limits.append(limit)
        return claim_next(context, ids, limit, only)

    monkeypatch.setattr(attempts, "claim", claim_and_note)
    insert(database, 60)
    with contextlib.closing(Pump(runtime, 64)) as pump:
        pump._size = ClaimSize(7)
        pump.wake()
        wait_until(lambda: states(database) == [State.SENT] * 60, what="all to be sent")
    assert max(limits) == 7


def test_high_ones_behind_duplicates_are_not_left_to_the_next_look(database: Database, fed: Fed) -> None:
    insert(database, 3, phone=PHONE, text="the same", priority=Priority.HIGH)
    [other] = insert(database, priority=Priority.HIGH)
    [[first]] = fed.claim(15)  # three rows, of which two are put off
    assert first != other
    assert fed.more
    assert fed.claim(15, backlog=False) == [[other]]
    assert not fed.more


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_time_of_a_large_claim_counts_and_not_that_of_the_small_one_before_it(
    database: Database, fed: Fed, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(database, 30, priority=Priority.LOW)
    insert(database, 2, priority=Priority.HIGH)
    noted: list[int] = []
    monkeypatch.setattr(ClaimSize, "took", lambda _, rows, seconds: noted.append(rows if seconds > 0 else 0))
    fed.claim(20)
    assert noted == [18]


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_the_claims_of_high_ones_alone_take_no_share_of_the_others(
    database: Database, fed: Fed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims._RNG, "random", random.Random(1).random)
    low = set(insert(database, 300, priority=Priority.LOW))
    insert(database, 3000, priority=Priority.HIGH)
    gone = [each for _ in range(100) for batch in fed.claim(30) for each in batch]
    assert len(gone) == 3000
    assert 0.02 < len(low.intersection(gone)) / len(gone) < 0.10


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_high_one_is_called_for_before_the_low_ones_that_were_claimed_earlier(
    database: Database, runtime: Runtime, simulator: Simulator
) -> None:
    insert(database, 4, text="low", priority=Priority.LOW)
    halted = Halted(runtime)
    with contextlib.closing(Calls(halted.runtime, 1, lambda: None, lambda: None)) as calls:
        calls.start()
        calls.take(attempts.claim(runtime, None, 4))
        wait_until(lambda: calls.in_flight == 1, what="the first call")
        insert(database, 2, text="high", priority=Priority.HIGH)
        calls.take(attempts.claim(runtime, None, 2))
        halted.calls_may_go.set()
        wait_until(lambda: states(database) == [State.SENT] * 6, what="all to be sent")
    assert [entry.text for entry in simulator.ledger()] == ["low", "high", "low", "high", "low", "low"]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_comes_while_all_places_are_in_use_is_released_when_it_is_late(
    database: Database, runtime: Runtime
) -> None:
    ids = insert(database, 3, priority=Priority.HIGH)
    halted = Halted(runtime)
    with contextlib.closing(Calls(halted.runtime, 1, lambda: None, lambda: None)) as calls:
        calls.start()
        calls.take(attempts.claim(runtime, None, 1))
        wait_until(lambda: calls.in_flight == 1, what="the first call")
        batch = attempts.claim(runtime, None, 2)
        calls.take(dataclasses.replace(batch, claimed_at=batch.claimed_at - 2 * attempts.MOST_CLAIM_WAIT_SECONDS))
        wait_until(lambda: row(database, ids[2]).state == State.QUEUED, what="its release")
        assert [row(database, each).state for each in ids[:2]] == [State.SENDING] * 2  # the second is its claim's first
        halted.calls_may_go.set()


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
