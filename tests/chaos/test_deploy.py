"""What an operator does on an ordinary day, and what happens on a bad one, under full load."""

import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
import sqlalchemy as sa

from smsclick import enqueue_many
from smsclick.contract import State, accounts, events, incidents, messages
from smsclick.simulator import ENDPOINTS, Fault, FaultKind
from tests.chaos.stack import THREADS, Slot, Stack
from tests.chaos.victim import RECEIVED
from tests.processes import wait_until
from worker.account.holds import MOST_FAILURES

_LATENCY = Fault(FaultKind.LATENCY, seconds=0.05, jitter=0.05)
# A slow machine must not look like a slow provider.
_PATIENT = {"SMSCLICK_READ_TIMEOUT": "20", "SMSCLICK_LEASE_SECONDS": "30", "CHAOS_TASKS": "1"}
# As patient as can be waited for where calls hang.
_OUTAGE_SECONDS = 8
_PATIENT_IN_AN_OUTAGE = {"SMSCLICK_READ_TIMEOUT": f"{_OUTAGE_SECONDS - 2}", "SMSCLICK_LEASE_SECONDS": "15"}

StartStack = Callable[..., Stack]


@pytest.fixture
def start_stack(tmp_path: Path) -> Iterator[StartStack]:
    """PostgreSQL, Redis, two workers and two beats, and a provider that takes its time."""
    started: list[Stack] = []

    def start(**extra: str) -> Stack:
        stack = Stack("postgres-redis", tmp_path, extra=extra)
        started.append(stack)
        stack.start(workers=2)
        stack.simulator.faults([_LATENCY])
        wait_until(lambda: all(slot.ready for slot in stack.workers), 120, what="the workers")
        return stack

    yield start
    for stack in started:
        stack.stop()


_numbers = itertools.count(10_000_000)


def _enqueue(stack: Stack, count: int) -> None:
    assert stack.database is not None
    with stack.database.begin() as connection:
        enqueue_many(
            connection, [{"phone": f"55{next(_numbers)}", "text": "Tu pedido va en camino"} for _ in range(count)]
        )


def _count(stack: Stack, query: sa.Select[int]) -> int:
    assert stack.database is not None
    with stack.database.read() as connection:
        return connection.execute(query).scalar_one()


def _in_state(stack: Stack, *states: State) -> int:
    return _count(stack, sa.select(sa.func.count()).where(messages.c.state.in_(states)))


def _became_unknown(stack: Stack) -> int:
    return _count(stack, sa.select(sa.func.count()).where(events.c.to_state == State.UNKNOWN))


class _Load:
    """More than workers can send meanwhile, however long that is."""

    def __init__(self, stack: Stack) -> None:
        self.total = 0
        self._stack = stack
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")

    def __enter__(self) -> Self:
        self._more()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _more(self) -> None:
        _enqueue(self._stack, 600)
        self.total += 600

    def _run(self) -> None:
        while not self._ended.wait(0.1):
            if _in_state(self._stack, State.QUEUED) < 1000:
                self._more()


def test_a_normal_deploy_under_full_load_leaves_no_unknowns(start_stack: StartStack) -> None:
    stack = start_stack(**_PATIENT)
    with _Load(stack) as load:
        wait_until(lambda: stack.simulator.stats().accepted > 100, 120, what="full load")
        old = [slot.process for slot in stack.workers if slot.process is not None]
        for process in old:
            process.sigterm()
        for slot in stack.workers:
            stack.spawn(slot)
        assert [process.wait(120) for process in old] == [0, 0]
        assert _in_state(stack, State.QUEUED) > 0, "the load ended before the deploy did"
    wait_until(lambda: not _in_state(stack, State.QUEUED, State.SENDING), 120, what="the rest to be sent")
    assert _became_unknown(stack) == 0
    assert stack.simulator.stats().accepted == load.total


def test_a_restart_of_redis_leaves_every_worker_consuming(start_stack: StartStack) -> None:
    stack = start_stack(**_PATIENT)
    _enqueue(stack, 1800)
    wait_until(lambda: stack.simulator.stats().accepted > 100, 120, what="full load")
    stack.lose_broker()
    back = time.clock_gettime(time.CLOCK_MONOTONIC)
    took = {slot.name: _first_task_after(slot, back) for slot in stack.workers}
    sys.stdout.write(f"seconds until a worker received a task again after the restart of Redis: {took}\n")
    assert all(slot.running for slot in stack.workers), "one of them ended instead"
    wait_until(lambda: not _in_state(stack, State.QUEUED, State.SENDING), 120, what="the rest to be sent")
    assert _became_unknown(stack) == 0


def _first_task_after(slot: Slot, since: float) -> float:
    process = slot.process
    assert process is not None

    def look() -> float:
        times = (float(line.split()[-1]) for line in process.output.splitlines() if line.startswith(RECEIVED))
        return next((at - since for at in times if at > since), 0.0)

    return round(wait_until(look, 120, what=f"a task for {slot.name}"), 1)


def test_an_outage_leaves_no_more_unknowns_than_requests_in_flight(start_stack: StartStack) -> None:
    stack = start_stack(**_PATIENT_IN_AN_OUTAGE)
    down = (FaultKind.HANG_BEFORE, FaultKind.RESET_BEFORE, FaultKind.HTTP_503_BEFORE)
    held = sa.select(sa.func.count()).where(accounts.c.hold_reason == "provider_down")
    with _Load(stack) as load:
        wait_until(lambda: stack.simulator.stats().accepted > 100, 120, what="full load")
        before = _became_unknown(stack)
        stack.simulator.faults(
            [
                Fault(kind, ENDPOINTS, rate=rate, seed=number)
                for number, (kind, rate) in enumerate(zip(down, (0.3, 0.5, 1.0), strict=True))
            ]
        )
        in_flight = stack.simulator.stats().in_flight
        wait_until(lambda: _count(stack, held) == 1, 120, what="the account to be held")
    time.sleep(_OUTAGE_SECONDS)
    assert _count(stack, held) == 1, "it opened although the provider is down"
    stack.simulator.faults([_LATENCY])
    wait_until(lambda: _count(stack, held) == 0, 120, what="the hold to end")
    unknown = _became_unknown(stack) - before
    canaries = sum(slot.process.output.count("A canary goes") for slot in stack.workers if slot.process is not None)
    sys.stdout.write(f"unknown after the outage: {unknown}; in flight before: {in_flight}, canaries: {canaries}\n")
    # Each thread has at most one request in flight when the hold begins.
    assert unknown <= 2 * THREADS + MOST_FAILURES + canaries
    wait_until(
        lambda: not _in_state(stack, State.QUEUED, State.SENDING, State.UNKNOWN), 180, what="the rest to be sent"
    )
    opened = sa.select(sa.func.count()).where(incidents.c.kind == "provider_down")
    assert _count(stack, opened) == 1
    assert _count(stack, opened.where(incidents.c.closed_at.is_not(None))) == 1
    assert stack.simulator.stats().accepted == load.total
