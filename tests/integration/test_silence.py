"""What did not happen is noticed: no ticks, old messages, no results, a forgotten hold, many unknown or absent."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from smsclick._values.causes import Cause
from smsclick.contract import HoldReason, Priority, State, events, heartbeats, incidents, messages
from tests.factories import RecordingWakeups, alert_events, change_account, clock, insert
from tests.processes import wait_until
from worker.alerting.kinds import KINDS
from worker.monitoring import progress_checks
from worker.monitoring.watchdog import REMIND_SECONDS, UNUSABLE_SECONDS, Watchdog
from worker.operator.doctor import queue
from worker.operator.doctor.check import Verdict
from worker.sql import heartbeat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smsclick._database.engine import Database
    from tests.integration.conftest import MakeRuntime
    from worker.runtime import Runtime

LIMITS = progress_checks.Limits(ended=20, confirm=0)


def ago(database: Database, seconds: float) -> dt.datetime:
    return clock(database) - dt.timedelta(seconds=seconds)


def happen(database: Database, count: int, seconds_ago: float = 0, **values: Any) -> None:  # noqa: ANN401
    """Events of an attempt that was answered, unless given otherwise."""
    (message,) = insert(database, state=State.DELIVERED, due_at=None)
    given = {"from_state": State.SENDING, "to_state": State.SENT, "cause": Cause.ANSWERED, "attempt": 1} | values
    with database.begin() as connection:
        rows = [{"message_id": message, "at": ago(database, seconds_ago), **given} for _ in range(count)]
        connection.execute(sa.insert(events), rows)


def open_kinds(database: Database) -> set[str]:
    with database.read() as connection:
        return set(connection.scalars(sa.select(incidents.c.kind).where(incidents.c.closed_at.is_(None))))


def look(database: Database, limits: progress_checks.Limits = LIMITS) -> set[str]:
    """What is open after a check; ticks come unless a test is about them."""
    database.transact(progress_checks.ProgressChecks(limits).check)
    return open_kinds(database)


def tick(database: Database, *names: str) -> None:
    """As if a sweep had run just now, and a tick of beat had arrived."""
    for name in names or ("sweep", "beat"):
        assert heartbeat.take(database, name, 5)


@pytest.fixture
def ticking(database: Database) -> Database:
    tick(database)
    return database


def test_where_everything_happens_nothing_is_said(ticking: Database) -> None:
    insert(ticking, due_at=clock(ticking))
    happen(ticking, 100)
    assert look(ticking) == set()
    assert alert_events(ticking) == []


@pytest.mark.parametrize("missing", [("sweep",), ("beat",), ("sweep", "beat")])
@pytest.mark.parametrize("ever", [True, False])
def test_ticks_that_do_not_arrive(database: Database, missing: tuple[str, ...], *, ever: bool) -> None:
    """Where workers sweep by themselves, beat or the broker may be away all the same; where none sweeps, none runs."""
    tick(database)
    of_missing = heartbeats.c.name.in_(missing)
    with database.begin() as connection:
        if ever:
            connection.execute(sa.update(heartbeats).where(of_missing).values(at=ago(database, 600)))
        else:
            connection.execute(sa.delete(heartbeats).where(of_missing))
    assert look(database) == {"no_ticks"}
    tick(database, *missing)
    assert look(database) == set()


@pytest.mark.parametrize(
    ("priority", "seconds", "found"),
    [
        (Priority.HIGH, 1000, {"old_due"}),
        (Priority.NORMAL, 1000, {"old_due"}),
        (Priority.NORMAL, 800, set()),
        (Priority.LOW, 1000, set()),
        (Priority.LOW, 30000, {"old_due"}),
    ],
)
def test_messages_that_wait_for_long_while_others_go(
    ticking: Database, priority: Priority, seconds: float, found: set[str]
) -> None:
    happen(ticking, 1)
    insert(ticking, priority=priority, due_at=ago(ticking, seconds))
    insert(ticking, state=State.SENT, due_at=ago(ticking, 10**6))
    assert look(ticking) == found


def test_what_is_held_does_not_wait_too_long(ticking: Database) -> None:
    insert(ticking, due_at=ago(ticking, 1000))
    change_account(ticking, hold_reason=HoldReason.NO_BALANCE)
    assert look(ticking) == set()


@pytest.mark.parametrize("last", [None, "claimed", "released", "answered", "lease"])
def test_nothing_is_recorded_although_something_is_due(ticking: Database, last: str | None) -> None:
    """Claims alone are no progress: their results may be stuck."""
    insert(ticking, due_at=ago(ticking, 400))
    happen(ticking, 1, 350)
    if last == "claimed":
        happen(ticking, 5, from_state=State.QUEUED, to_state=State.SENDING, cause=Cause.CLAIMED)
    elif last == "released":
        happen(ticking, 5, to_state=State.QUEUED, cause=Cause.RELEASED)
    elif last == "answered":
        happen(ticking, 1)
    elif last == "lease":
        happen(ticking, 1, to_state=State.UNKNOWN, cause=Cause.LEASE_ENDED)
    assert look(ticking) == (set() if last in {"answered", "lease"} else {"no_records"})


def test_a_hold_that_somebody_forgot(ticking: Database) -> None:
    change_account(ticking, operator_hold_at=ago(ticking, 100))
    assert look(ticking) == set()
    change_account(ticking, operator_hold_at=ago(ticking, 5000))
    assert look(ticking) == {"operator_hold"}
    change_account(ticking, operator_hold_at=None)
    assert look(ticking) == set()
    assert alert_events(ticking) == [("operator_hold", "opened"), ("operator_hold", "closed")]


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        ("many_unknown", {"to_state": State.UNKNOWN}),
        ("many_unknown", {"to_state": State.UNKNOWN, "cause": Cause.LEASE_ENDED}),
        ("many_absent", {"from_state": State.UNKNOWN, "to_state": State.QUEUED, "cause": Cause.ABSENT_FROM_REPORT}),
    ],
)
def test_a_share_that_rises_and_falls(ticking: Database, kind: str, event: dict[str, Any]) -> None:
    happen(ticking, 100)
    happen(ticking, 3, **event)
    assert look(ticking) == set()
    happen(ticking, 60, **event)
    assert look(ticking) == {kind}
    happen(ticking, 1000)
    assert look(ticking) == set()


def test_a_share_that_falls_little_keeps_its_incident_open(ticking: Database) -> None:
    """Around the limit it would be closed and opened again with every few messages."""
    unknown = 60
    happen(ticking, unknown, to_state=State.UNKNOWN)
    assert look(ticking) == {"many_unknown"}
    answered = int(unknown / (LIMITS.unknown_share * 0.75)) - unknown
    happen(ticking, answered)
    assert look(ticking) == {"many_unknown"}
    happen(ticking, 2 * answered)
    assert look(ticking) == set()
    assert alert_events(ticking) == [("many_unknown", "opened"), ("many_unknown", "closed")]


def test_a_share_of_a_few_says_nothing(ticking: Database) -> None:
    happen(ticking, 10, to_state=State.UNKNOWN)
    assert look(ticking) == set()


def test_what_is_long_past_says_nothing(ticking: Database) -> None:
    happen(ticking, 100, 2 * 3600, to_state=State.UNKNOWN)
    assert look(ticking) == set()


def test_a_fleet_that_has_just_started_raises_no_alarm(database: Database) -> None:
    """What the standstill left behind is gone before it counts."""
    now = [0.0]
    checks = progress_checks.ProgressChecks(dataclasses.replace(LIMITS, confirm=60), measure=lambda: now[0])
    insert(database, due_at=ago(database, 10**5))
    for now[0] in (0.0, 30.0):
        assert not database.transact(checks.check)
    assert open_kinds(database) == set()
    now[0] = 61.0
    assert database.transact(checks.check)
    assert open_kinds(database) == {"no_ticks", "old_due", "no_records"}


def test_what_ends_before_it_is_confirmed_begins_from_nothing_the_next_time(ticking: Database) -> None:
    now = [0.0]
    checks = progress_checks.ProgressChecks(dataclasses.replace(LIMITS, confirm=60), measure=lambda: now[0])
    for now[0], held_for in ((0.0, 5000), (30.0, None), (61.0, 5000), (120.0, 5000)):
        change_account(ticking, operator_hold_at=None if held_for is None else ago(ticking, held_for))
        assert not ticking.transact(checks.check), now
    now[0] = 122.0
    assert ticking.transact(checks.check)
    assert open_kinds(ticking) == {"operator_hold"}


def test_every_kind_says_what_to_do() -> None:
    for name in ("no_ticks", "old_due", "no_records", "operator_hold", "many_unknown", "many_absent", "clock_step"):
        assert KINDS[name].advice


# --- The threads


class Channel:
    def __init__(self) -> None:
        self.titles: list[str] = []

    def notify(self, body: str, title: str, notify_type: object) -> bool:  # noqa: ARG002 - its form
        self.titles.append(title)
        return bool(body)

    def url(self) -> str:
        return "test://"


def with_channel(runtime: Runtime) -> tuple[Runtime, Channel]:
    channel = Channel()
    settings = runtime.settings.model_copy(update={"language": "en", "installation": "shop"})
    return dataclasses.replace(runtime, channels=[channel], settings=settings), channel


def test_without_beat_and_broker_an_alert_is_delivered_all_the_same(
    runtime: Runtime, wakeups: RecordingWakeups
) -> None:
    """No wake-up arrives and no sweep runs: the worker itself delivers overdue alerts."""
    held, channel = with_channel(runtime)
    # Not the fifteen seconds of production: a busy machine may need as long for what follows.
    watch = Watchdog(held, LIMITS, overdue_seconds=3600)
    watch.look()
    assert wakeups.alerted.is_set()
    watch.deliver()
    assert channel.titles == []  # somebody may be at it
    with held.database.begin() as connection:
        connection.execute(sa.text("UPDATE smsclick_alerts SET due_at = '2020-01-01 00:00:00'"))
    watch.deliver()
    assert channel.titles == ["SMSClick shop: No ticks arrive: beat or the broker is away"]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_database_that_cannot_be_written_is_notified_to_the_channels_directly(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """It holds no incident then. Here SQLite itself refuses each write."""
    held, channel = with_channel(runtime)
    watch = Watchdog(held, LIMITS)

    def time_passes(seconds: float) -> None:
        watch._written_at -= seconds
        if watch._notified_at is not None:
            watch._notified_at -= seconds
        watch.look()

    with refusing(held.database):
        watch.look()
        time_passes(UNUSABLE_SECONDS / 2)
        assert channel.titles == []  # it may only be starting again
        time_passes(UNUSABLE_SECONDS / 2)
        assert channel.titles == ["SMSClick shop: the database cannot be used"]
        time_passes(UNUSABLE_SECONDS)
        assert len(channel.titles) == 1
        time_passes(REMIND_SECONDS)
        assert channel.titles == ["SMSClick shop: the database cannot be used"] * 2
    watch.look()
    assert channel.titles[2:] == ["SMSClick shop: over: the database cannot be used"]
    watch.look()
    assert len(channel.titles) == 3
    assert caplog.text.count("The database cannot be written.") == 2


@contextlib.contextmanager
def refusing(database: Database) -> Iterator[None]:
    """SQLite refuses each write in here, as on a disk that became read-only."""

    def refuse(connection: sa.Connection) -> None:
        connection.exec_driver_sql("PRAGMA query_only = ON")

    event.listen(database.engine, "begin", refuse)
    try:
        yield
    finally:
        event.remove(database.engine, "begin", refuse)
        database.dispose()


def test_the_threads_look_by_themselves_and_end_with_the_process(make_runtime: MakeRuntime) -> None:
    runtime = make_runtime(SMSCLICK_SWEEP_SECONDS=1)
    watch = Watchdog(runtime, LIMITS)
    watch.start()
    wait_until(lambda: open_kinds(runtime.database) == {"no_ticks"}, what="the incident")
    runtime.stopping.set()
    watch.close(60)
    assert not [each for each in runtime.threads.report() if each.alive and each.name.startswith("smsclick-watch")]


# --- The doctor


def test_doctor_looks_at_the_age_of_what_waits_and_of_the_last_result(database: Database) -> None:
    assert queue.check(database).verdict is Verdict.OK
    insert(database, due_at=ago(database, 400))
    stuck = queue.check(database)
    assert stuck.verdict is Verdict.FAILED
    assert "no result has ever been recorded" in stuck.found
    happen(database, 1)
    assert queue.check(database).verdict is Verdict.OK
    insert(database, due_at=ago(database, 4000))
    assert queue.check(database).verdict is Verdict.WARNING
    change_account(database, operator_hold_at=clock(database))
    assert queue.check(database).verdict is Verdict.OK
    with database.begin() as connection:
        connection.execute(sa.delete(messages).where(messages.c.state == State.QUEUED))
    change_account(database, operator_hold_at=None)
    assert queue.check(database).found == "no message waits for a worker"
