"""The database's clock is set by half an hour: nothing is judged too early, nothing waits longer."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from smsclick.contract import State, accounts, alerts, callbacks, clocks, heartbeats, incidents, watermarks
from smsclick.provider.clock import clock as measured
from tests.factories import LONG_AGO, alert_events, insert, row
from tests.factories import clock as time_of
from tests.integration.workbench import Bench, bench
from worker.alerting.details import shown
from worker.database_clock import step as clock_step
from worker.database_clock.clock import DatabaseClock, Look, shift, step_between, trusted_since
from worker.lifecycle.doubt import Doubt
from worker.reconciliation.absence_proof import LEAST_CONTROL_ROWS
from worker.sql import heartbeat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smsclick._database.engine import Database

STEP = 1800.0
HALF_AN_HOUR = dt.timedelta(seconds=STEP)
NEAR = dt.timedelta(seconds=60)
"""Far less than the step, far more than any pause of a slow machine."""


class Measured:
    """A process's monotonic clock; moved by so many seconds, it sees the database's clock set by as many."""

    def __init__(self) -> None:
        self.moved = 0.0

    def __call__(self) -> float:
        return measured() - self.moved


@pytest.fixture
def process() -> Measured:
    return Measured()


@pytest.fixture
def watch(database: Database, process: Measured) -> DatabaseClock:
    """A process that has looked before the clock is set."""
    made = DatabaseClock(measure=process)
    made.read(database)
    return made


def clock_row(database: Database) -> Any:  # noqa: ANN401 - a Row
    with database.read() as connection:
        return connection.execute(sa.select(clocks)).one()


def stamped(database: Database, step: float) -> dt.datetime:
    """What the clock showed now, had it not been set by so many seconds."""
    return time_of(database) - dt.timedelta(seconds=step)


def near(one: dt.datetime | None, other: dt.datetime) -> bool:
    return one is not None and abs(one - other) < NEAR


# --- What is a step


def look(at: float, before: float, took: float = 0.01) -> Look:
    return Look(dt.datetime(2026, 5, 4, tzinfo=dt.UTC) + dt.timedelta(seconds=at), before, before + took, 0.0)


@pytest.mark.parametrize(
    ("went_by", "measured_seconds", "step"),
    [(5, 5, 0), (5, 6.5, 0), (6.5, 5, 0), (1805, 5, 1800), (-1795, 5, -1800), (5, 1805, -1800), (3600, 3600, 0)],
)
def test_a_step_is_what_the_processs_own_clock_did_not_measure(
    went_by: float, measured_seconds: float, step: float
) -> None:
    assert step_between(look(0, 100), look(went_by, 100 + measured_seconds)) == pytest.approx(step, abs=0.1)


def test_a_slow_answer_is_no_step() -> None:
    """The database read its clock at any time between the question and its answer."""
    assert step_between(look(0, 100, took=30), look(1, 131)) == 0
    assert step_between(look(0, 100), look(31, 101, took=40)) == 0
    assert step_between(look(0, 100, took=30), look(100, 131)) > 0


# --- Who notices


def test_a_clock_that_runs_steadily_is_trusted(database: Database, watch: DatabaseClock) -> None:
    for _ in range(3):
        watch.read(database)
    assert alert_events(database) == []
    assert clock_row(database).stepped_ms == 0
    with database.read() as connection:
        assert trusted_since(connection) is None


@pytest.mark.parametrize("step", [STEP, -STEP])
def test_a_step_is_one_incident_however_many_processes_see_it(
    database: Database, watch: DatabaseClock, process: Measured, step: float
) -> None:
    others = [DatabaseClock(measure=process) for _ in range(3)]
    for other in others:
        other.read(database)
    process.moved = step
    for each in (watch, *others, watch):
        each.read(database)
    assert alert_events(database) == [("clock_step", "opened")]
    assert clock_row(database).stepped_ms / 1000 == pytest.approx(step, abs=5)
    with database.read() as connection:
        detail = connection.execute(sa.select(incidents.c.detail)).scalar_one()
    assert shown(detail, "en").startswith("set forward by about" if step > 0 else "set back by about")


def test_a_second_step_is_noticed_as_well(database: Database, watch: DatabaseClock, process: Measured) -> None:
    for process.moved in (STEP, 0.0):
        watch.read(database)
    assert clock_row(database).stepped_ms / 1000 == pytest.approx(0, abs=5)
    with database.read() as connection:
        assert connection.scalar(sa.select(incidents.c.occurrences)) == 2


def test_a_process_that_starts_after_a_time_in_which_nobody_looked_trusts_none_of_it(database: Database) -> None:
    DatabaseClock().read(database)
    with database.begin() as connection:
        connection.execute(sa.update(clocks).values(seen_at=time_of(database) - HALF_AN_HOUR))
    DatabaseClock().read(database)
    with database.read() as connection:
        assert near(trusted_since(connection), time_of(database))
    assert alert_events(database) == []


def test_a_process_that_starts_after_a_step_back_is_certain_of_it(database: Database) -> None:
    DatabaseClock().read(database)
    with database.begin() as connection:
        connection.execute(sa.update(clocks).values(seen_at=time_of(database) + HALF_AN_HOUR))
    DatabaseClock().read(database)
    assert alert_events(database) == [("clock_step", "opened")]
    with database.read() as connection:
        assert near(trusted_since(connection), time_of(database))


# --- Forward: nothing ends early


def test_after_a_step_forward_leases_and_unknown_attempts_wait_as_long_as_without(
    database: Database, watch: DatabaseClock, process: Measured
) -> None:
    old, new = stamped(database, STEP), time_of(database)
    lease = dt.timedelta(seconds=120)
    held, fresh = (
        insert(database, state=State.SENDING, token="t", attempted_at=at, lease_until=at + lease, due_at=at + lease)[0]
        for at in (old, new)
    )
    unknown, young = (
        insert(database, state=State.UNKNOWN, token="t", attempted_at=at, unknown_since=at, due_at=at)[0]
        for at in (old, new)
    )
    process.moved = STEP
    watch.read(database)
    for each in (held, fresh):
        assert near(row(database, each).lease_until, new + lease)
        assert row(database, each).due_at == row(database, each).lease_until
    for each in (unknown, young):
        assert near(row(database, each).unknown_since, new)
    # The span in which it may have been accepted holds it by either clock.
    assert near(row(database, unknown).attempted_at, old)


def test_too_many_open_attempts_to_move_are_judged_a_whole_settle_window_later(
    database: Database, watch: DatabaseClock, process: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock_step, "ADJUSTED_AT_ONCE", 2)
    old = stamped(database, STEP)
    insert(database, 3, state=State.UNKNOWN, token="t", attempted_at=old, unknown_since=old, due_at=old)
    process.moved = STEP
    watch.read(database)
    with database.read() as connection:
        assert near(trusted_since(connection), time_of(database))


# --- Back: nothing waits longer


def test_after_a_step_back_everything_comes_as_soon_as_without(
    database: Database, watch: DatabaseClock, process: Measured
) -> None:
    now = time_of(database)
    later = now + HALF_AN_HOUR + NEAR  # by the clock before it was set: in a minute
    ids = {
        state: insert(database, state=state, token="t", due_at=later, attempted_at=later, unknown_since=None)[0]
        for state in (State.QUEUED, State.SENT, State.UNDETERMINED, State.DELIVERED)
    }
    at = now + HALF_AN_HOUR
    ids[State.SENDING] = insert(
        database, state=State.SENDING, token="t", attempted_at=at, lease_until=later, due_at=later
    )[0]
    ids[State.UNKNOWN] = insert(
        database, state=State.UNKNOWN, token="t", attempted_at=at, unknown_since=at, due_at=later
    )[0]
    with database.begin() as connection:
        connection.execute(sa.update(accounts).values(probe_at=later, canary_until=later))
        connection.execute(sa.insert(watermarks).values(name="w", due_at=later, distrusted_until=later))
        connection.execute(sa.insert(heartbeats).values(name="tick", at=at))
        connection.execute(
            sa.insert(callbacks).values(
                event_id="e", message_id=ids[State.SENT], type="t", target="x", receiver="r", data="{}", due_at=later
            )
        )
        opened = connection.execute(
            sa.insert(incidents).values(kind="bad_call", open_key="bad_call:", remind_at=later)
        ).inserted_primary_key
        assert opened is not None
        connection.execute(sa.insert(alerts).values(incident_id=opened[0], news="x", delivered_to="", due_at=later))
    process.moved = -STEP
    watch.read(database)
    shift(database, threading.Event())
    soon = now + NEAR
    for each in ids.values():
        assert near(row(database, each).due_at, soon)
    assert near(row(database, ids[State.SENDING]).lease_until, soon)
    assert near(row(database, ids[State.UNKNOWN]).unknown_since, now)
    assert row(database, ids[State.UNKNOWN]).attempted_at <= row(database, ids[State.UNKNOWN]).unknown_since
    with database.read() as connection:
        for column in (
            accounts.c.probe_at,
            accounts.c.canary_until,
            watermarks.c.due_at,
            watermarks.c.distrusted_until,
            callbacks.c.due_at,
            sa.select(alerts.c.due_at).where(alerts.c.news == "x"),
            sa.select(incidents.c.remind_at).where(incidents.c.kind == "bad_call"),
        ):
            query = column if isinstance(column, sa.Select) else sa.select(column)
            assert near(connection.scalar(query), soon), column
        assert near(connection.scalar(sa.select(heartbeats.c.at)), now)
    assert clock_row(database).shift_stage is None


def test_what_was_ordered_for_a_certain_time_stays_there(
    database: Database, watch: DatabaseClock, process: Measured
) -> None:
    later = time_of(database) + 4 * HALF_AN_HOUR
    (scheduled,) = insert(database, send_at=later, due_at=later)
    process.moved = -STEP
    watch.read(database)
    shift(database, threading.Event())
    assert row(database, scheduled).due_at == later


def test_many_due_times_are_moved_in_batches_each_once(
    database: Database, watch: DatabaseClock, process: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some share one time, some are ordered for a time of their own, some lie beyond the step."""
    monkeypatch.setattr(clock_step, "_BATCH", 4)
    base = time_of(database) + HALF_AN_HOUR + NEAR
    same = insert(database, 11, due_at=base)
    spread = [insert(database, due_at=base + n * HALF_AN_HOUR)[0] for n in range(6)]
    scheduled = insert(database, 9, due_at=base + HALF_AN_HOUR, send_at=base + HALF_AN_HOUR)
    process.moved = -STEP
    watch.read(database)
    moved = shift(database, threading.Event())
    step = dt.timedelta(seconds=clock_row(database).stepped_ms / 1000)
    assert moved == len(same) + len(spread)
    for each in same:
        assert near(row(database, each).due_at, base + step)
    for n, each in enumerate(spread):
        assert near(row(database, each).due_at, base + n * HALF_AN_HOUR + step)
    assert {row(database, each).due_at for each in scheduled} == {base + HALF_AN_HOUR}


def test_a_fresh_unknown_attempt_is_not_confused_with_one_from_before_the_step(
    database: Database, watch: DatabaseClock, process: Measured
) -> None:
    """Its wait would end half an hour early."""
    now = time_of(database)
    (fresh,) = insert(database, state=State.UNKNOWN, token="t", attempted_at=now, unknown_since=now, due_at=now)
    process.moved = -STEP
    watch.read(database)
    assert row(database, fresh).unknown_since == now


@pytest.mark.parametrize(("ahead", "due"), [(HALF_AN_HOUR, True), (dt.timedelta(seconds=5), False)])
def test_a_tick_whose_last_run_lies_in_the_future_is_due(database: Database, ahead: dt.timedelta, *, due: bool) -> None:
    assert heartbeat.take(database, "tick", 600)
    with database.begin() as connection:
        connection.execute(sa.update(heartbeats).values(at=time_of(database) + ahead))
    assert heartbeat.take(database, "tick", 600) is due


# --- What is absent


@pytest.fixture
def made(migrated_postgres_url: str) -> Iterator[Bench]:
    with bench(migrated_postgres_url) as running:
        yield running


def two_unknown(made: Bench) -> tuple[int, int]:
    """An attempt that the provider accepted and one that it never saw, with control rows around them."""
    made.witness(LEAST_CONTROL_ROWS)
    accepted, never = made.enqueue(2)
    for message_id in (accepted, never):
        [claim] = made.claim([message_id])
        if message_id == accepted:
            made.call(claim)
    made.lose()
    made.witness(LEAST_CONTROL_ROWS)
    return accepted, never


@pytest.mark.parametrize("was_set", [True, False])
def test_a_step_forward_is_not_the_time_after_which_absence_counts(made: Bench, *, was_set: bool) -> None:
    """Half an hour went by, as the database says; as the worker measured, none did."""
    process = Measured()
    made.runtime.clock._measure = process
    made.runtime.clock.read(made.database)
    _, never = two_unknown(made)
    made.age(STEP)
    made.witness(LEAST_CONTROL_ROWS)
    process.moved = STEP if was_set else 0.0
    if not was_set:
        made.runtime.clock._measure = lambda: measured() + STEP
        made.runtime.clock._last = dataclasses.replace(
            made.runtime.clock._last or look(0, 0), at=time_of(made.database) - HALF_AN_HOUR
        )
    made.reconcile()
    assert made.row(never).state == (State.UNKNOWN if was_set else State.QUEUED)


def test_absence_waits_until_the_clock_has_been_watched_for_long_enough(made: Bench) -> None:
    accepted, never = two_unknown(made)
    made.ripen()
    with made.database.begin() as connection:
        connection.execute(sa.insert(clocks).values(name="database", trusted_since=time_of(made.database)))
    made.reconcile()
    assert made.row(accepted).state == State.SENT
    assert (made.row(never).state, made.row(never).unknown_reason) == (State.UNKNOWN, Doubt.CLOCK)
    with made.database.begin() as connection:
        connection.execute(sa.update(clocks).values(trusted_since=time_of(made.database) - HALF_AN_HOUR))
    made.reconcile()
    assert made.row(never).state == State.QUEUED


@pytest.mark.parametrize(("stage", "moved_by"), [(None, -60), (2, -1860)])
def test_a_step_back_while_due_times_are_still_moved_takes_up_what_is_left(stage: int | None, moved_by: int) -> None:
    row: Any = SimpleNamespace(shift_ms=None if stage is None else -1_800_000, shift_stage=stage)
    begun = clock_step.begin_shift(row, -60, LONG_AGO)
    assert begun == {"shift_ms": moved_by * 1000, "shift_stage": 0, "shift_after": LONG_AGO}
