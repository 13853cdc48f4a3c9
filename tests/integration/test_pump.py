"""The pump: what a process has under way, against a provider that is slow, silent, or asks for a pause."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest
import sqlalchemy as sa

from smsclick.contract import HoldReason, State, accounts, messages
from smsclick.provider.results import Refused
from smsclick.simulator import ENDPOINTS, Fault, FaultKind
from tests.factories import change_account, clock, insert, states
from tests.integration.test_recorder import kill
from tests.processes import ROOT, wait_until
from worker.sending import attempts
from worker.sending.calls import Calls
from worker.sending.pump import Pump

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from types import FrameType

    from smsclick._database.engine import Database
    from smsclick.provider.results import SendResult
    from smsclick.simulator import Simulator
    from tests.factories import RecordingWakeups
    from tests.integration.conftest import MakeRuntime
    from worker.context import Sender
    from worker.lifecycle.attempt import Ended
    from worker.runtime import Runtime
    from worker.sending.recorder import Recorder

T = TypeVar("T")


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


def test_one_wake_up_sends_every_due_message_once(
    runtime: Runtime, database: Database, simulator: Simulator, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    insert(database, 250)
    make_pump(runtime, 16).wake()
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
            pump.wake()
        return simulator.stats().max_in_flight > 16

    wait_until(more_than_it_began_with, 120)


def test_no_more_calls_are_under_way_than_allowed(
    runtime: Runtime, database: Database, simulator: Simulator, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    simulator.faults([latency(0.05)])
    insert(database, 60)
    make_pump(runtime, 3).wake()
    wait_until(lambda: count(database, State.SENT) == 60, what="all to be sent")
    assert simulator.stats().max_in_flight <= 3


def test_little_is_claimed_ahead_of_a_provider_that_does_not_answer(
    make_runtime: MakeRuntime, database: Database, simulator: Simulator, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    simulator.faults([Fault(FaultKind.HANG_BEFORE)])
    insert(database, 200)
    pump = make_pump(make_runtime(SMSCLICK_READ_TIMEOUT=3), 64)
    pump.wake()
    wait_until(lambda: count(database, State.SENDING) > 0, what="a claim")
    time.sleep(0.5)
    assert count(database, State.SENDING) <= 24


class LateClaims:
    """A database that answers claims only when the test allows it; everything else at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.under_way = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - of the database
        return getattr(self._database, name)

    def transact(self, work: Callable[[sa.Connection], T]) -> T:
        result = self._database.transact(work)
        if isinstance(result, list):
            self.under_way.set()
            assert self.go_on.wait(120)
        return result


def sends(simulator: Simulator) -> int:
    return sum(simulator.stats().requests.get("sendMsg", {}).values())


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_retry_after_is_honoured_and_what_was_claimed_is_given_back(
    runtime: Runtime, database: Database, simulator: Simulator, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    """Also what a claim brings that was under way when the pause began."""
    simulator.faults([Fault(FaultKind.RATE_LIMIT, retry_after=3600)])
    late = LateClaims(database)
    late.go_on.clear()
    insert(database, 1)
    pump = make_pump(dataclasses.replace(runtime, database=cast("Database", late)), 2)
    pump.wake()
    assert late.under_way.wait(60)
    late.under_way.clear()
    insert(database, 40)
    pump.wake()
    late.go_on.set()  # the one: its call brings the pause
    assert late.under_way.wait(60)  # the forty, or a part of them
    wait_until(lambda: count(database, State.UNKNOWN) >= 1, what="the first 429")
    wait_until(lambda: count(database, State.SENDING) == 0, what="the rest to be given back")
    # Further wake-ups and claims add no call: at most the two calls that may run at once.
    called = sends(simulator)
    assert called <= 2
    for _ in range(20):
        pump.wake()
        time.sleep(0.02)
    assert sends(simulator) == called
    assert count(database, State.QUEUED) == 41 - called


class Halted:
    """A way to the provider on which calls wait, and a recorder that keeps refusals, until a test lets them go on."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.calls_may_go = threading.Event()
        self.is_recording = threading.Event()
        self.may_record = threading.Event()

    @property
    def runtime(self) -> Runtime:
        return dataclasses.replace(self._runtime, senders=self.senders, recorder=cast("Recorder", self))

    @contextlib.asynccontextmanager
    async def senders(self) -> AsyncIterator[Sender]:
        async with self._runtime.senders() as sender:
            self._sender = sender
            yield self

    async def send(
        self, phone: str, text: str, rule_id: str | None = None, *, not_after: float | None = None
    ) -> SendResult:
        while not self.calls_may_go.is_set():  # noqa: ASYNC110 - a thread's event
            await asyncio.sleep(0.01)
        return await self._sender.send(phone, text, rule_id, not_after=not_after)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - of the recorder
        return getattr(self._runtime.recorder, name)

    def submit(self, ended: Ended, done: Callable[[], None] | None = None) -> None:
        if not isinstance(ended.outcome, Refused):
            self._runtime.recorder.submit(ended, done)
            return

        def later() -> None:
            assert self.may_record.wait(60)
            self._runtime.recorder.submit(ended, done)

        self.is_recording.set()
        threading.Thread(target=later).start()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_claim_made_ahead_is_given_back_when_the_provider_asks_for_a_pause(
    runtime: Runtime, database: Database, simulator: Simulator, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    simulator.faults([Fault(FaultKind.RATE_LIMIT, retry_after=3600)])
    halted = Halted(runtime)
    insert(database, 3)
    make_pump(halted.runtime, 1).wake()
    wait_until(lambda: count(database, State.SENDING) == 2, what="a call and a claim ahead of it")
    halted.calls_may_go.set()
    wait_until(lambda: states(database) == [State.UNKNOWN, State.QUEUED, State.QUEUED], 20, what="the claim's return")
    assert sends(simulator) == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_claim_made_ahead_is_given_back_before_the_hold_is_recorded(
    runtime: Runtime, database: Database, simulator: Simulator, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    simulator.set(balance=0)
    halted = Halted(runtime)
    insert(database, 3)
    make_pump(halted.runtime, 1).wake()
    wait_until(lambda: count(database, State.SENDING) == 2, what="a call and a claim ahead of it")
    halted.calls_may_go.set()
    assert halted.is_recording.wait(60)
    try:
        wait_until(
            lambda: states(database) == [State.SENDING, State.QUEUED, State.QUEUED], 20, what="the claim's return"
        )
    finally:
        halted.may_record.set()
    wait_until(lambda: states(database) == [State.QUEUED] * 3, what="the refusal on record")
    assert sends(simulator) == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_was_being_claimed_when_a_pause_was_heard_is_given_back_and_not_kept_for_as_long(
    runtime: Runtime,
    database: Database,
    simulator: Simulator,
    make_pump: Callable[[Runtime, int], Pump],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    insert(database, 5)
    pump = make_pump(runtime, 4)
    claimed = threading.Event()
    claim = attempts.claim

    def claim_and_hear(*args: Any) -> Any:  # noqa: ANN401 - as it is
        batch = claim(*args)
        pump._calls._concurrency.throttled(time.monotonic(), 3600)
        claimed.set()
        return batch

    monkeypatch.setattr(attempts, "claim", claim_and_hear)
    pump.wake()
    assert claimed.wait(60)
    wait_until(lambda: count(database, State.QUEUED) == 5, what="the claims to be given back")
    assert simulator.ledger() == []


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_after_the_pause_all_that_waited_is_sent_and_none_before(
    runtime: Runtime, database: Database, simulator: Simulator, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    # Fewer than the breaker counts, so that the pump waits and sending is not held.
    simulator.faults([Fault(FaultKind.RATE_LIMIT, count=2, retry_after=2)])
    insert(database, 40)
    began = time.time()
    make_pump(runtime, 2).wake()
    wait_until(lambda: count(database, State.SENT) == 38, what="the rest to be sent after the pause")
    assert count(database, State.UNKNOWN) == 2
    assert min(entry.accepted_at for entry in simulator.ledger()) >= began + 2


def test_when_the_balance_ends_nothing_begins_but_what_was_under_way(
    runtime: Runtime, database: Database, simulator: Simulator, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    simulator.set(balance=20)
    simulator.faults([latency(0.01)])
    insert(database, 200)
    make_pump(runtime, 8).wake()
    held = sa.select(accounts.c.hold_reason == HoldReason.NO_BALANCE)

    def rests() -> bool:
        with database.read() as connection:
            closed = connection.execute(held).scalar_one()
        return bool(closed) and Counter(states(database)) == {State.SENT: 20, State.QUEUED: 180}

    wait_until(rests, what="the hold")
    assert simulator.stats().requests["sendMsg"]["-104"] <= 8


def test_while_sending_is_held_only_the_canary_goes_and_without_a_wake_up(
    make_runtime: MakeRuntime, database: Database, simulator: Simulator, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    # With the balance all but gone it remains held after the canary.
    ids = insert(database, 5)
    change_account(database, hold_reason=HoldReason.NO_BALANCE, hold_since=clock(database), probe_at=clock(database))
    simulator.set(balance=1)
    change_account(database, balance=1)
    pump = make_pump(make_runtime(SMSCLICK_SWEEP_SECONDS=1), 4)
    pump.wake()
    time.sleep(0.3)
    assert simulator.ledger() == []
    change_account(database, canary_id=ids[3])
    wait_until(lambda: states(database)[3] == State.SENT, what="the canary to be sent")
    assert [state for state in states(database) if state == State.QUEUED] == [State.QUEUED] * 4


def test_a_pump_that_nobody_wakes_looks_by_itself(
    make_runtime: MakeRuntime, database: Database, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    insert(database)
    make_pump(make_runtime(SMSCLICK_SWEEP_SECONDS=1), 4).start()
    wait_until(lambda: count(database, State.SENT) == 1, what="what was there before")
    insert(database, 3)
    wait_until(lambda: count(database, State.SENT) == 4, what="what came later")


class FullRecorder:
    """A recorder that may have no room."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.has_room = True

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - of the recorder
        return getattr(self._recorder, name)


def test_nothing_is_claimed_while_results_cannot_be_recorded(
    runtime: Runtime, database: Database, simulator: Simulator, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    full = FullRecorder(runtime.recorder)
    full.has_room = False
    pump = make_pump(dataclasses.replace(runtime, recorder=cast("Recorder", full)), 4)
    insert(database, 20)
    for _ in range(10):
        pump.wake()
        time.sleep(0.02)
    assert states(database) == [State.QUEUED] * 20
    full.has_room = True
    wait_until(lambda: count(database, State.SENT) == 20, what="all to be sent")  # without a wake-up: it sees the room


def test_no_call_begins_while_results_cannot_be_recorded(
    runtime: Runtime, database: Database, simulator: Simulator, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    """The room ends between the claim and the call."""
    full = FullRecorder(runtime.recorder)
    late = LateClaims(database)
    late.go_on.clear()
    pump = make_pump(dataclasses.replace(runtime, recorder=cast("Recorder", full), database=cast("Database", late)), 4)
    insert(database, 2)
    pump.wake()
    assert late.under_way.wait(60)
    full.has_room = False
    late.go_on.set()
    wait_until(lambda: pump._calls.waiting == 2, what="both to wait for their call")
    time.sleep(0.1)
    assert sends(simulator) == 0
    full.has_room = True
    wait_until(lambda: count(database, State.SENT) == 2, what="both to be sent")


@pytest.mark.parametrize("database", ["postgres", "sqlite"], indirect=True)
@pytest.mark.usefixtures("threads_die_silently")
def test_a_pump_whose_threads_are_killed_goes_on(
    make_runtime: MakeRuntime, database: Database, simulator: Simulator, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    """The feeder at random; the loop only while it has no call, since one that had begun would rightly be unknown."""
    runtime = make_runtime(SMSCLICK_SWEEP_SECONDS=1)
    pump = make_pump(runtime, 4)
    pump.start()
    for _ in range(4):
        insert(database, 10)
        kill(pump._feeder)
        pump.wake()
        wait_until(runtime.threads.revive, what="its threads")
        wait_until(lambda: count(database, State.QUEUED) == 0, what="all to be claimed")
        wait_until(lambda: not pump._calls.waiting and not pump._calls.in_flight, what="rest")
        kill(pump._calls._thread)
    wait_until(lambda: not count(database, State.SENDING), what="all to be recorded")
    assert pump._feeder.restarts >= 2
    assert pump._calls._thread.restarts >= 2
    assert count(database, State.SENT) == len(simulator.ledger()) == 40


class LoopKiller:
    """Raises SystemExit in the loop's thread, at a line of worker/sending that chance chooses.

    `PyThreadState_SetAsyncExc` would raise it anywhere: in pytest's own hooks, in the thread that resolves the name
    (which CPython lists under its starter's number until it runs), or in the middle of uvloop, whose C code then ends
    the process.
    """

    def __init__(self) -> None:
        self._rng = random.Random(random.getrandbits(32))
        self._lines = 0

    def kill(self) -> None:
        self._lines = self._rng.randint(1, 60)

    def watch(self, run: Callable[[Calls], None]) -> Callable[[Calls], None]:
        def watched(calls: Calls) -> None:
            sys.settrace(self._called)  # an exception of a trace function has ended the tracing before
            run(calls)

        return watched

    def _called(self, frame: FrameType, event: str, _argument: object) -> Callable[..., Any] | None:
        del event
        return self._line if Path(frame.f_code.co_filename).parent == ROOT / "worker" / "sending" else None

    def _line(self, _frame: FrameType, event: str, _argument: object) -> Callable[..., Any]:
        if event == "line" and self._lines:
            self._lines -= 1
            if not self._lines:
                raise SystemExit
        return self._line


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("threads_die_silently")
def test_a_loop_that_is_killed_again_and_again_with_calls_in_flight_loses_no_claim_and_sends_none_twice(
    runtime: Runtime,
    database: Database,
    simulator: Simulator,
    make_pump: Callable[[Runtime, int], Pump],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killer = LoopKiller()
    monkeypatch.setattr(Calls, "_run", killer.watch(Calls._run))
    simulator.faults([latency(0.2)])
    pump = make_pump(runtime, 16)
    thread = pump._calls._thread
    for deaths in range(1, 6):
        insert(database, 60)
        pump.wake()
        wait_until(lambda: pump._calls.in_flight >= 4 and pump._calls.is_running, what="calls in flight")
        killer.kill()
        wait_until(lambda: runtime.threads.revive() and thread.restarts >= deaths, what="its death")  # noqa: B023
    wait_until(lambda: not count(database, State.QUEUED) + count(database, State.SENDING), what="all to be recorded")
    by_state = Counter(states(database))
    assert set(by_state) == {State.SENT, State.UNKNOWN}
    # A request that had left when its loop died may have arrived or not, and is not made again.
    assert by_state[State.UNKNOWN] <= 5 * 16
    wait_until(lambda: simulator.stats().in_flight == 0, what="the provider's rest")
    texts = [entry.text for entry in simulator.ledger()]
    assert len(texts) == len(set(texts)) <= 300
    assert by_state[State.SENT] <= len(texts)
    gc.collect()  # here, not in a later test


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_defect_in_one_call_makes_its_outcome_unknown_and_stops_no_other(
    runtime: Runtime,
    database: Database,
    simulator: Simulator,
    make_pump: Callable[[Runtime, int], Pump],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ids = insert(database, 20)
    call = attempts.call

    async def defective(sender: Sender, permitted: attempts.Permit) -> Ended:
        if permitted.claim.id == ids[3]:
            raise ZeroDivisionError(permitted.claim.text)
        return await call(sender, permitted)

    monkeypatch.setattr(attempts, "call", defective)
    pump = make_pump(runtime, 4)
    pump.wake()
    wait_until(lambda: count(database, State.SENT) == 19, what="the others to be sent")
    wait_until(lambda: count(database, State.UNKNOWN) == 1, what="the defective one's record")
    assert pump._calls._thread.restarts == 0
    assert f'message_id={ids[3]} attempt=1 error="ZeroDivisionError' in caplog.text
    assert "text " not in caplog.text


CANNOT_START = """
import resource, sys, threading
import sqlalchemy as sa
from smsclick.contract import messages
from tests.factories import RecordingWakeups, settings
from tests.processes import wait_until
from worker.sending import attempts
from worker.sending.pump import Pump
from worker.runtime import Runtime

def sent():
    with runtime.database.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).where(messages.c.state == "sent"))

runtime = Runtime.start(settings(sys.argv[1], sys.argv[2], SMSCLICK_SWEEP_SECONDS=1), RecordingWakeups(), calls=4)
assert sent() == 0
pump = Pump(runtime, 4)
refused = {"smsclick-feeder", "smsclick-sender"}
one_at_once = threading.Lock()
real_start = threading.Thread.start

def start(thread):
    with one_at_once:
        threading.stack_size(1 << 34 if thread.name in refused else 0)
        try:
            real_start(thread)
        finally:
            threading.stack_size(0)

threading.Thread.start = start
resource.setrlimit(resource.RLIMIT_AS, (1 << 33, resource.RLIM_INFINITY))
pump.wake()
assert not pump._feeder.is_alive
refused.remove("smsclick-feeder")
pump._feeder.start()
pump.wake()
wait_until(lambda: pump._calls._thread.failing_seconds > 1, what="a loop that cannot start")
assert pump._feeder.is_alive
assert not pump._calls.waiting, "nothing is claimed without it"
assert sent() == 0
refused.clear()
wait_until(lambda: sent() == 5, what="all to be sent")
pump.close()
runtime.close()
print("sent")
"""


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.skipif(sys.platform != "linux", reason="Linux's limits")
def test_a_pump_that_may_start_no_thread_sends_when_it_may(database: Database, simulator: Simulator) -> None:
    """The system really refuses: stacks that no address space has room for."""
    insert(database, 5)
    url = database.engine.url.render_as_string(hide_password=False)
    done = subprocess.run(
        [sys.executable, "-c", CANNOT_START, url, simulator.base_url],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=ROOT,
    )
    assert done.stdout.endswith("sent\n"), done.stdout + done.stderr
    assert len(simulator.ledger()) == 5


def test_a_process_that_ends_awaits_its_calls_and_gives_back_the_rest(
    runtime: Runtime, database: Database, simulator: Simulator, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    simulator.faults([latency(0.5)])
    insert(database, 500)  # more than can be sent before the end, however late that comes
    pump = make_pump(runtime, 8)
    pump.wake()
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
            insert(database)
            pump.wake()

    producers = [threading.Thread(target=produce) for _ in range(2)]
    for producer in producers:
        producer.start()
    for producer in producers:
        producer.join()
    wait_until(lambda: count(database, State.SENT) == 50, what="all to be sent")


def test_a_backlog_wakes_other_workers_too(
    runtime: Runtime, database: Database, wakeups: RecordingWakeups, make_pump: Callable[[Runtime, int], Pump]
) -> None:
    insert(database, 200)
    began = time.monotonic()
    make_pump(runtime, 4).wake()
    wait_until(lambda: wakeups.sends, what="a wake-up")
    wait_until(lambda: count(database, State.SENT) == 200, what="all to be sent")
    assert len(wakeups.sends) <= 1 + (time.monotonic() - began)  # one a second


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_what_the_database_refuses_does_not_end_the_sending(
    runtime: Runtime,
    database: Database,
    make_pump: Callable[[Runtime, int], Pump],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with database.begin() as connection:
        connection.execute(sa.text("ALTER TABLE smsclick_events RENAME TO events_away"))  # no row's fault
    try:
        pump = make_pump(runtime, 4)
        insert(database, 3)
        pump.wake()
        wait_until(lambda: "Could not claim messages" in caplog.text, what="the refusal")
    finally:
        with database.begin() as connection:
            connection.execute(sa.text("ALTER TABLE events_away RENAME TO smsclick_events"))
    pump.wake()
    wait_until(lambda: count(database, State.SENT) == 3, what="all to be sent")
