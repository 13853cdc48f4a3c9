"""The pump: what a process has under way, against a provider that is slow, silent, or asks for a pause."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from smsclick.contract import HoldReason, State, gates, messages
from smsclick.simulator import ENDPOINTS, Fault, FaultKind
from tests.factories import change_gate, clock, insert, states
from tests.processes import wait_until
from worker.pump import Pump

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from smsclick.database import Database
    from smsclick.simulator import Simulator
    from tests.factories import RecordingBell
    from tests.integration.conftest import MakeRuntime
    from worker.runtime import Runtime


@pytest.fixture
def make_pump() -> Iterator[Callable[[Runtime, int], Pump]]:
    """Pumps that are closed with the test."""
    made: list[Pump] = []

    def make(runtime: Runtime, most: int) -> Pump:
        made.append(Pump(runtime, most))
        return made[-1]

    yield make
    for pump in made:
        pump.close()


def latency(seconds: float) -> Fault:
    return Fault(FaultKind.LATENCY, endpoints=ENDPOINTS, seconds=seconds)


def count(database: Database, state: State) -> int:
    with database.read() as connection:
        query = sa.select(sa.func.count()).where(messages.c.state == state)
        return connection.execute(query).scalar_one()


def test_one_ring_sends_all_that_is_due_and_each_once(
    runtime: Runtime, database: Database, simulator: Simulator, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    ids = insert(database, 250)
    make_pump(runtime, 16).ring([ids[0]])
    wait_until(lambda: count(database, State.SENT) == 250, what="all to be sent")
    assert len(simulator.ledger()) == 250


def test_many_calls_are_under_way_at_once_where_the_provider_is_slow(
    runtime: Runtime, database: Database, simulator: Simulator, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    simulator.faults([latency(0.3)])
    pump = make_pump(runtime, 32)

    def more_than_it_began_with() -> bool:
        # However long it takes, there is always more to send.
        if count(database, State.QUEUED) < 200:
            insert(database, 200)
            pump.ring()
        return simulator.stats().max_in_flight > 16

    wait_until(more_than_it_began_with, 120)


def test_no_more_calls_are_under_way_than_allowed(
    runtime: Runtime, database: Database, simulator: Simulator, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    simulator.faults([latency(0.05)])
    insert(database, 60)
    make_pump(runtime, 3).ring()
    wait_until(lambda: count(database, State.SENT) == 60, what="all to be sent")
    assert simulator.stats().max_in_flight <= 3


def test_little_is_claimed_ahead_of_a_provider_that_does_not_answer(
    make_runtime: MakeRuntime, database: Database, simulator: Simulator, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    simulator.faults([Fault(FaultKind.HANG_BEFORE)])
    insert(database, 200)
    pump = make_pump(make_runtime(SMSCLICK_READ_TIMEOUT=3), 64)
    pump.ring()
    wait_until(lambda: count(database, State.SENDING) > 0, what="a claim")
    time.sleep(0.5)
    assert count(database, State.SENDING) <= 16


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_retry_after_is_honoured_and_what_was_claimed_is_given_back(
    runtime: Runtime, database: Database, simulator: Simulator, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    # Fewer than the breaker counts, so that it is the pump that waits and not the gate.
    pause = 10
    simulator.faults([Fault(FaultKind.RATE_LIMIT, count=2, retry_after=pause)])
    insert(database, 40)
    began = time.time()
    make_pump(runtime, 2).ring()
    wait_until(lambda: count(database, State.UNKNOWN) >= 1, what="the first 429")
    wait_until(lambda: count(database, State.SENDING) == 0, what="the rest to be given back")
    assert count(database, State.SENT) == 0
    wait_until(lambda: count(database, State.SENT) >= 38, what="the rest to be sent after the pause")
    assert min(entry.accepted_at for entry in simulator.ledger()) - began > pause - 0.1


def test_when_the_balance_ends_nothing_begins_but_what_was_under_way(
    runtime: Runtime, database: Database, simulator: Simulator, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    simulator.set(balance=20)
    simulator.faults([latency(0.01)])
    insert(database, 200)
    make_pump(runtime, 8).ring()
    held = sa.select(gates.c.hold_reason == HoldReason.NO_BALANCE)

    def rests() -> bool:
        with database.read() as connection:
            closed = connection.execute(held).scalar_one()
        return bool(closed) and Counter(states(database)) == {State.SENT: 20, State.QUEUED: 180}

    wait_until(rests, what="the hold")
    assert simulator.stats().requests["sendMsg"]["-104"] <= 8


def test_while_the_gate_is_held_only_the_canary_that_was_rung_for_goes(
    runtime: Runtime, database: Database, simulator: Simulator, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    ids = insert(database, 5)
    change_gate(
        database,
        hold_reason=HoldReason.NO_BALANCE,
        hold_since=clock(database),
        canary_id=ids[3],
        probe_at=clock(database),
    )
    pump = make_pump(runtime, 4)
    pump.ring([ids[0]])
    time.sleep(0.3)
    assert simulator.ledger() == []
    pump.ring([ids[3]])
    wait_until(lambda: states(database)[3] == State.SENT, what="the canary to be sent")


def test_a_process_that_ends_awaits_its_calls_and_gives_back_the_rest(
    runtime: Runtime, database: Database, simulator: Simulator, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    simulator.faults([latency(0.5)])
    insert(database, 500)  # more than can be sent before the end, however late that comes
    pump = make_pump(runtime, 8)
    pump.ring()
    wait_until(lambda: simulator.stats().max_in_flight >= 4, what="calls under way")
    pump.close()
    runtime.recorder.close()
    assert set(states(database)) == {State.SENT, State.QUEUED}
    assert count(database, State.SENT) == len(simulator.ledger())


def test_a_message_that_comes_while_the_feeder_looks_is_not_overlooked(
    runtime: Runtime, database: Database, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    pump = make_pump(runtime, 4)

    def produce() -> None:
        for _ in range(25):
            pump.ring(insert(database))

    producers = [threading.Thread(target=produce) for _ in range(2)]
    for producer in producers:
        producer.start()
    for producer in producers:
        producer.join()
    wait_until(lambda: count(database, State.SENT) == 50, what="all to be sent")


def test_a_backlog_rings_for_other_workers_too(
    runtime: Runtime, database: Database, bell: RecordingBell, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    insert(database, 200)
    began = time.monotonic()
    make_pump(runtime, 4).ring()
    wait_until(lambda: bell.sends, what="a doorbell")
    wait_until(lambda: count(database, State.SENT) == 200, what="all to be sent")
    assert len(bell.sends) <= 1 + (time.monotonic() - began)  # one a second


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_what_the_database_refuses_does_not_end_the_sending(
    runtime: Runtime,
    database: Database,
    make_pump: Callable[[Runtime, int], Pump],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with database.begin() as connection:
        connection.execute(sa.text("ALTER TABLE smsclick_messages ADD CONSTRAINT odd CHECK (attempts = 0) NOT VALID"))
    try:
        pump = make_pump(runtime, 4)
        pump.ring(insert(database, 3))
        wait_until(lambda: "Could not claim messages" in caplog.text, what="the refusal")
    finally:
        with database.begin() as connection:
            connection.execute(sa.text("ALTER TABLE smsclick_messages DROP CONSTRAINT odd"))
    pump.ring()
    wait_until(lambda: count(database, State.SENT) == 3, what="all to be sent")
