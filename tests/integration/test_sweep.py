"""The sweep: it finds what no wake-up announced, runs once for each due time, and does no harm twice."""

from __future__ import annotations

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick.contract import State, heartbeats, messages
from tests import one_sender
from tests.factories import LONG_AGO, POLICY, RecordingWakeups, change, change_account, clock, insert, row, states
from worker.alerting import incidents
from worker.maintenance.sweep import sweep
from worker.queue import claims
from worker.sending import attempts
from worker.sql import heartbeat

if TYPE_CHECKING:
    from smsclick._database.engine import Database
    from tests.integration.conftest import MakeRuntime
    from worker.runtime import Runtime

LONG = 3600
"""Seconds between sweeps: no next tick is due while a test waits for a processor."""


def test_what_no_wakeup_announced_wakes_up_workers_in_lists(runtime: Runtime, wakeups: RecordingWakeups) -> None:
    ids = insert(runtime.database, attempts.WAKE_UP_IDS + 3)
    assert sweep(runtime)
    assert sorted(each for batch in wakeups.sends for each in batch) == ids
    assert max(map(len, wakeups.sends)) == attempts.WAKE_UP_IDS


def test_due_checks_wake_up_workers(runtime: Runtime, wakeups: RecordingWakeups) -> None:
    ids = insert(runtime.database, 2, state=State.SENT, sent_at=clock(runtime.database))
    sweep(runtime)
    assert sorted(each for batch in wakeups.polls for each in batch) == ids


def test_a_lost_claim_is_unknown_and_wakes_up_nobody(runtime: Runtime, wakeups: RecordingWakeups) -> None:
    insert(runtime.database, state=State.SENDING, token="t", lease_until=LONG_AGO)
    sweep(runtime)
    sweep(runtime, urgent=True)
    assert states(runtime.database) == ["unknown"]
    assert wakeups.sends == wakeups.polls == []


def test_expired_messages_end_and_wake_up_nobody(runtime: Runtime, wakeups: RecordingWakeups) -> None:
    insert(runtime.database, expires_at=LONG_AGO)
    sweep(runtime)
    assert states(runtime.database) == ["expired"]
    assert wakeups.sends == []


def test_while_it_is_held_checks_go_on_and_nothing_is_sent(runtime: Runtime, wakeups: RecordingWakeups) -> None:
    change_account(runtime.database, hold_reason="no_balance")
    insert(runtime.database)
    insert(runtime.database, state=State.SENT, sent_at=clock(runtime.database))
    sweep(runtime)
    assert wakeups.sends == []
    assert len(wakeups.polls) == 1


def test_alerts_that_wait_wake_up_workers(runtime: Runtime, wakeups: RecordingWakeups) -> None:
    sweep(runtime)
    assert not wakeups.alerted.is_set()
    runtime.database.transact(lambda connection: incidents.report(connection, "bad_call"))
    sweep(runtime, urgent=True)
    assert wakeups.alerted.is_set()


def test_a_second_sweep_of_the_same_tick_is_passed_over_unless_it_is_urgent(
    make_runtime: MakeRuntime, wakeups: RecordingWakeups
) -> None:
    runtime = make_runtime(SMSCLICK_SWEEP_SECONDS=LONG)
    insert(runtime.database)
    assert [sweep(runtime), sweep(runtime)] == [True, False]
    assert len(wakeups.sends) == 1
    assert sweep(runtime, urgent=True)


def test_two_beats_at_once_sweep_once(make_runtime: MakeRuntime, wakeups: RecordingWakeups) -> None:
    runtimes = [make_runtime(SMSCLICK_SWEEP_SECONDS=LONG) for _ in range(4)]
    ids = insert(runtimes[0].database, 5)
    for rounds in (1, 2):
        barrier = threading.Barrier(4)

        def run(runtime: Runtime, barrier: threading.Barrier = barrier) -> bool:
            barrier.wait(60)
            return sweep(runtime)

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(run, runtimes)) == 1
        assert wakeups.sends == [ids] * rounds
        with runtimes[0].database.begin() as connection:
            connection.execute(sa.update(heartbeats).values(at=LONG_AGO))


def test_two_urgent_sweeps_at_once_do_no_harm(make_runtime: MakeRuntime) -> None:
    runtimes = [make_runtime() for _ in range(4)]
    database = runtimes[0].database
    ended = insert(database, 30, state=State.SENDING, token="t")
    expired = insert(database, 30, expires_at=LONG_AGO)
    barrier = threading.Barrier(4)

    def run(runtime: Runtime) -> bool:
        barrier.wait(60)
        return sweep(runtime, urgent=True)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(run, runtimes))
    assert {row(database, each).state for each in ended} == {"unknown"}
    assert {row(database, each).state for each in expired} == {"expired"}


def test_the_wakeups_of_one_sweep_are_bounded(runtime: Runtime, wakeups: RecordingWakeups) -> None:
    insert(runtime.database, 1)
    with runtime.database.begin() as connection:
        rows = [{"key": f"many-{n}", "phone": "5551402211", "text": "x", "due_at": LONG_AGO} for n in range(400)]
        connection.execute(sa.insert(messages), rows)
    sweep(runtime)
    assert sum(map(len, wakeups.sends)) == 320


# --- Due times and heartbeats


def test_a_tick_is_due_again_after_half_its_period(database: Database) -> None:
    assert heartbeat.take(database, "tick", 3600)
    assert not heartbeat.take(database, "tick", 3600)
    assert heartbeat.take(database, "another", 3600)
    with database.begin() as connection:
        now: dt.datetime = connection.execute(sa.select(db_now())).scalar_one()
        connection.execute(sa.update(heartbeats).values(at=now - dt.timedelta(seconds=1801)))
    assert heartbeat.take(database, "tick", 3600)


def test_a_process_shows_its_progress(database: Database) -> None:
    for progress in (1, 7):
        heartbeat.beat(database, "worker:a:1", progress)
    with database.read() as connection:
        assert [tuple(each) for each in connection.execute(sa.select(heartbeats.c.name, heartbeats.c.progress))] == [
            ("worker:a:1", 7)
        ]


def test_a_worker_that_died_with_its_claims_loses_and_doubles_nothing(
    runtime: Runtime, wakeups: RecordingWakeups
) -> None:
    """From the claim to the end of the lease: in the report it may be, it must not be in flight again."""
    ids = insert(runtime.database, 3)
    runtime.database.transact(lambda connection: claims.claim(connection, ids, 3, POLICY))
    change(runtime.database, due_at=LONG_AGO, lease_until=LONG_AGO)
    sweep(runtime)
    assert one_sender.send(runtime, ids) == 0
    assert states(runtime.database) == ["unknown"] * 3
