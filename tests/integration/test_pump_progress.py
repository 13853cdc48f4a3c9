"""Whether the pump sends what it may send: one that does nothing is reported, one that has a reason is not."""

from __future__ import annotations

import dataclasses
import datetime as dt
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

import pytest
import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick.contract import Priority, State, messages
from tests.factories import LONG_AGO, change_account, insert, states
from tests.processes import wait_until
from worker.account.rate_limit import Unlimited
from worker.sending import attempts
from worker.sending.pump import Pump
from worker.sending.pump_progress import LOOK_SECONDS, PumpProgress
from worker.threads import liveness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from smsclick._database.engine import Database
    from tests.integration.conftest import MakeRuntime
    from worker.context import Context
    from worker.runtime import Runtime


SENT = sa.update(messages).values(state=State.SENT, due_at=None)
"""As another worker leaves it."""


class Watched:
    """A pump whose threads do not run, or no longer call, and the looks at it on a clock that a test moves."""

    def __init__(self, context: Context) -> None:
        self.now = 0.0
        self.pump = Pump(cast("Any", context), 4)
        self.calls, self.concurrency = self.pump._calls, self.pump._calls._concurrency
        self.progress = PumpProgress(context, self.calls, lambda: self.now)

    def look(self, seconds: float = 0.0) -> bool:
        """Look once, or for so long as often as a worker does; whether a stall was ever reported."""
        seen = False
        for _ in range(max(1, int(seconds / LOOK_SECONDS))):
            self.now += LOOK_SECONDS
            self.progress.look()
            seen = seen or bool(self.problems)
        return seen

    def close(self) -> None:
        self.pump.close()

    @property
    def problems(self) -> list[str]:
        report = liveness.ProcessReport("worker", 1, "", self.now, tuple(self.progress.report()))
        return liveness.problems(report, self.now)


@pytest.fixture
def watched(runtime: Runtime) -> Iterator[Watched]:
    with closing(Watched(runtime)) as made:
        yield made


def test_a_pump_that_leaves_a_due_message_alone_is_reported_after_a_minute_until_it_sends(
    database: Database, watched: Watched
) -> None:
    insert(database)
    assert not watched.look(60)
    assert watched.look(10)
    [problem] = watched.problems
    assert problem.startswith("smsclick-pump has made no progress for 65 s: messages are due")
    watched.pump.wake()
    wait_until(lambda: states(database) == [State.SENT], what="the message to be sent")
    watched.look()
    assert watched.problems == []


def test_a_pump_that_claims_and_calls_for_nothing_is_reported(
    database: Database, runtime: Runtime, watched: Watched
) -> None:
    """Each look finds the message either claimed here or released again."""
    insert(database)
    for _ in range(8):
        watched.calls.take(attempts.claim(runtime, None, 1))
        watched.look()
        watched.calls._give_back()
        wait_until(lambda: states(database) == [State.QUEUED], what="the release to be recorded")
        watched.look()
    assert watched.problems


def test_nothing_is_missed_where_nothing_is_due(watched: Watched) -> None:
    assert not watched.look(300)


@pytest.mark.parametrize("columns", [{"hold_reason": "no_balance"}, {"operator_hold_at": db_now()}])
def test_a_hold_is_no_stall(database: Database, watched: Watched, columns: dict[str, object]) -> None:
    insert(database)
    change_account(database, **columns)
    assert not watched.look(300)


def test_the_time_begins_when_a_hold_ends(database: Database, watched: Watched) -> None:
    insert(database)
    watched.look(55)
    change_account(database, hold_reason="no_balance")
    watched.look()
    change_account(database, hold_reason=None)
    assert not watched.look(60)


def test_a_pause_that_the_provider_asked_for_is_no_stall(database: Database, watched: Watched) -> None:
    insert(database)
    for _ in range(5):
        watched.concurrency.throttled(watched.now, 60.0)
        assert not watched.look(60)


def test_duplicates_of_what_is_in_flight_are_no_stall(database: Database, runtime: Runtime, watched: Watched) -> None:
    """Another worker's call may be without an answer for hours; all that is due has its content."""
    [claim] = attempts.claim(runtime, insert(database), 1).claims
    insert(database, phone=claim.phone, text=claim.text)
    assert not watched.look(300)


@pytest.mark.parametrize("database", ["postgres", "mariadb"], indirect=True)
def test_a_message_that_another_transaction_has_locked_is_no_stall(database: Database, watched: Watched) -> None:
    insert(database)
    with database.begin() as connection:
        connection.execute(sa.select(messages.c.id).with_for_update())
        assert not watched.look(300)


def test_low_messages_in_quiet_hours_are_no_stall(make_runtime: MakeRuntime, database: Database) -> None:
    insert(database, priority=Priority.LOW)
    with closing(Watched(make_runtime(SMSCLICK_QUIET_HOURS="00:00-23:59"))) as watched:
        assert not watched.look(300)


def test_other_workers_that_take_everything_leave_no_stall(database: Database, watched: Watched) -> None:
    """At each look something else is due, because the others are quicker."""
    for _ in range(60):
        [message_id] = insert(database)
        assert not watched.look()
        with database.begin() as connection:
            connection.execute(SENT.where(messages.c.id == message_id))


def test_a_backlog_that_others_work_off_is_a_stall_of_the_one_that_does_not_help(
    database: Database, watched: Watched
) -> None:
    # Of messages that are due at the same time, none is the last one.
    ids = [each for second in range(30) for each in insert(database, due_at=LONG_AGO + dt.timedelta(seconds=second))]
    for message_id in ids[:-1]:
        watched.look()
        with database.begin() as connection:
            connection.execute(SENT.where(messages.c.id == message_id))
    assert watched.problems


class Waiting(Unlimited):
    """Other workers have all slots."""

    @property
    def waited_at(self) -> float:  # type: ignore[override]
        return self.clock()

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock


def test_a_worker_that_waits_for_its_slot_of_the_rate_limit_has_not_stalled(
    database: Database, runtime: Runtime
) -> None:
    insert(database)
    with closing(Watched(runtime)) as watched:
        watched.progress._context = dataclasses.replace(runtime, limiter=Waiting(lambda: watched.now))
        assert not watched.look(300)


def test_a_database_that_refuses_claims_is_no_stall(database: Database, watched: Watched) -> None:
    insert(database)
    for _ in range(60):
        watched.progress.note_unavailable()
        assert not watched.look()


def test_a_database_that_cannot_be_read_is_no_stall(database: Database, watched: Watched) -> None:
    insert(database)
    watched.look(55)
    with database.begin() as connection:
        connection.execute(sa.text("ALTER TABLE smsclick_messages RENAME TO gone"))
    try:
        assert not watched.look(60)
    finally:
        with database.begin() as connection:
            connection.execute(sa.text("ALTER TABLE gone RENAME TO smsclick_messages"))
    assert not watched.look(60)


def test_calls_in_flight_up_to_their_timeout_are_no_stall(make_runtime: MakeRuntime, database: Database) -> None:
    """All places are in use, each by a call that a slow provider answers just before its timeout."""
    insert(database, 3)
    with closing(
        Watched(make_runtime(SMSCLICK_READ_TIMEOUT=170, SMSCLICK_CONNECT_TIMEOUT=5, SMSCLICK_LEASE_SECONDS=300))
    ) as watched:
        for _ in range(3):
            watched.calls.made += 1
            assert not watched.look(175)
        assert watched.look(60)


def test_a_machine_that_stood_still_is_no_stall(database: Database, watched: Watched) -> None:
    insert(database)
    watched.look(50)
    watched.now += 3600
    assert not watched.look(60)
