"""A model of the attempt's protocol: the real functions, walked through in every order that hypothesis can think of.

What is simulated is time, the provider and the workers' memory; claims, results, expired leases, reconciliation and
the operator's commands are the product's own, on a real database. The one assumption: a request never leaves after its
claim's `not_after`, and the report shows what was accepted within SMSCLICK_SETTLE_SECONDS from then.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

import hypothesis
import pytest
import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from smsclick.contract import IfAbsent, events
from smsclick.provider.codes import Action
from tests.model.world import LEASE, READ, SETTLE, Job, World

if TYPE_CHECKING:
    from collections.abc import Callable

PHONES: Final = ("5551402211", "5551402211", "3312345678")
TEXTS: Final = ("Su código es 4821", "SU CÓDIGO  ES 4821", "Otra cosa")
"""The second has the same content as the first: in a report one could be mistaken for the other."""
FORMS: Final[dict[str, Callable[[str], str]]] = {
    "exact": lambda text: text,
    "ascii": lambda text: unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode(),
    "collapsed": lambda text: " ".join(text.split()).upper(),
}
REFUSALS: Final = ((-102, Action.FAIL), (-104, Action.HOLD_NO_BALANCE), (-999, Action.RETRY))

workers = st.integers(0, World.WORKERS - 1)
some = st.integers(0, 11)
"""An index into a list; the rule takes it modulo the length of the list."""


class AttemptProtocol(RuleBasedStateMachine):
    """Three workers, two readers of the report, a provider, others, an operator."""

    @initialize(
        skew=st.sampled_from([0.0, -55.0, 55.0]),
        form=st.sampled_from(sorted(FORMS)),
        others=st.sampled_from([False, False, True]),
        texts=st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3),
    )
    def begin(self, skew: float, form: str, others: bool, texts: list[str]) -> None:  # noqa: FBT001 - hypothesis draws it
        self.world = World(skew=skew, form=FORMS[form])
        self.others = others
        self.violated = False
        for text in texts:
            self.world.enqueue(PHONES[0], text)

    def jobs(self, *, left: bool, heard: bool = False) -> list[Job]:
        return [
            job
            for worker in self.world.workers
            for job in worker
            if (job.request is not None) is left and (job.outcome is not None) is heard
        ]

    def busy(self, *, heard: bool = False) -> list[int]:
        return [
            number
            for number, jobs in enumerate(self.world.workers)
            if any(job.outcome is not None or not heard for job in jobs)
        ]

    # --- The world

    @rule(seconds=st.sampled_from([0.1, 1, 5, 29, 31, 61, 89, 121, 299, 601]))
    def time_passes(self, seconds: float) -> None:
        self.world.wait(seconds)

    @precondition(lambda self: len(self.world._states) < 4)
    @rule(phone=st.sampled_from(PHONES), text=st.sampled_from(TEXTS), if_absent=st.sampled_from(IfAbsent))
    def a_producer_commits(self, phone: str, text: str, if_absent: IfAbsent) -> None:
        self.world.try_to_enqueue(phone, text, if_absent=str(if_absent))

    @precondition(lambda self: self.others)
    @rule(phone=st.sampled_from(PHONES), text=st.sampled_from(TEXTS))
    def others_send_the_same(self, phone: str, text: str) -> None:
        self.world.accept_of_others(phone, text)

    # --- Workers

    @rule(worker=workers, limit=st.integers(1, 3), paused=st.sampled_from([0, 0, 40, 95]))
    def a_worker_claims(self, worker: int, limit: int, paused: float) -> None:
        self.world.claim(worker, limit, paused=paused)

    @precondition(lambda self: self.jobs(left=False))
    @rule(which=some)
    def a_request_leaves(self, which: int) -> None:
        jobs = self.jobs(left=False)
        self.world.leave(jobs[which % len(jobs)])

    @precondition(lambda self: self.jobs(left=False))
    @rule(which=some)
    def a_worker_gives_back(self, which: int) -> None:
        jobs = self.jobs(left=False)
        self.world.release(jobs[which % len(jobs)])

    @precondition(lambda self: self.jobs(left=True))
    @rule(which=some, readable=st.booleans())
    def a_call_ends(self, which: int, readable: bool) -> None:  # noqa: FBT001 - hypothesis draws it
        jobs = self.jobs(left=True)
        self.world.hear(jobs[which % len(jobs)], readable=readable)

    @precondition(lambda self: self.busy(heard=True))
    @rule(which=some, acknowledged=st.sampled_from([True, True, False]))
    def a_worker_records(self, which: int, acknowledged: bool) -> None:  # noqa: FBT001 - hypothesis draws it
        busy = self.busy(heard=True)
        self.world.record(busy[which % len(busy)], acknowledged=acknowledged)

    @precondition(lambda self: self.busy())
    @rule(which=some)
    def a_worker_is_killed(self, which: int) -> None:
        busy = self.busy()
        self.world.crash(busy[which % len(busy)])

    # --- The provider

    def open_requests(self) -> list[int]:
        return [number for number, each in enumerate(self.world.requests) if each.open(self.world.now)]

    @precondition(lambda self: self.open_requests())
    @rule(which=some, lag=st.sampled_from([0.0, 0.0, None]))
    def it_accepts(self, which: int, lag: float | None) -> None:
        left = self.open_requests()
        self.world.accept(self.world.requests[left[which % len(left)]], lag=lag)

    @precondition(lambda self: self.open_requests())
    @rule(which=some, refusal=st.sampled_from(REFUSALS))
    def it_refuses(self, which: int, refusal: tuple[int, Action]) -> None:
        left = self.open_requests()
        self.world.refuse(self.world.requests[left[which % len(left)]], *refusal)

    @precondition(lambda self: self.open_requests())
    @rule(which=some)
    def a_request_is_lost(self, which: int) -> None:
        left = self.open_requests()
        self.world.requests[left[which % len(left)]].lost = True

    @rule(count=st.integers(1, 3))
    def other_messages_are_answered(self, count: int) -> None:
        self.world.try_to_witness(count)

    # --- Reconciliation

    @rule()
    def a_sweep(self) -> None:
        self.world.sweep()

    @rule(fails=st.sampled_from([False, False, True]))
    def a_report_is_read(self, fails: bool) -> None:  # noqa: FBT001 - hypothesis draws it
        self.world.look(fails=fails)

    @precondition(lambda self: self.world.reports)
    @rule(which=some)
    def a_report_is_judged(self, which: int) -> None:
        self.world.judge(which % len(self.world.reports))

    @precondition(lambda self: self.world.reports)
    @rule()
    def a_reader_is_killed(self) -> None:
        self.world.reports.clear()

    # --- The same in longer strides, so that fifty steps reach what takes a worker half an hour

    @rule(worker=workers, paused=st.sampled_from([0, 0, 89]), lag=st.sampled_from([0.0, None]), heard=st.booleans())
    def a_worker_claims_and_the_provider_accepts(
        self,
        worker: int,
        paused: float,
        lag: float | None,
        heard: bool,  # noqa: FBT001 - hypothesis draws it
    ) -> None:
        for claim in self.world.claim(worker, 1):
            self.world.wait(paused)
            job = next(job for job in self.world.workers[worker] if job.claim is claim)
            self.world.leave(job)
            if job.request is not None:
                self.world.accept(job.request, lag=lag)
                if heard:
                    self.world.hear(job)

    @rule(seconds=st.sampled_from([0, 31, 121, 521, 601]))
    def everything_unknown_is_reconciled_that_can_be(self, seconds: float) -> None:
        self.world.wait(seconds)
        self.world.sweep()
        self.world.look()
        while self.world.reports:
            self.world.judge()

    # --- The operator

    @rule(which=some, again=st.booleans())
    def an_operator_cancels_or_retries(self, which: int, again: bool) -> None:  # noqa: FBT001 - hypothesis draws it
        ids = list(self.world._states)
        (self.world.retry if again else self.world.cancel)(ids[which % len(ids)])

    # --- What must hold

    @invariant()
    def nothing_is_sent_twice_or_reported_wrong(self) -> None:
        if hasattr(self, "world"):
            found = self.world.violations()
            self.violated = bool(found)
            assert found == []

    def teardown(self) -> None:
        """Once nothing fails any more, everything ends, and nothing is lost."""
        if hasattr(self, "world") and not self.violated:
            self.world.heal()
            assert self.world.violations() == []
            assert self.world.stuck() == []
            assert self.world.unsent() == []


_thorough = hypothesis.settings().max_examples > 1000


@pytest.mark.timeout(20_000 if _thorough else 900)
def test_no_order_of_workers_crashes_late_answers_and_reports_sends_twice_or_loses_anything() -> None:
    run_state_machine_as_test(
        AttemptProtocol,
        settings=hypothesis.settings(
            max_examples=20_000 if _thorough else 75,
            stateful_step_count=100 if _thorough else 50,
            derandomize=not _thorough,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )


# --- One case each, so that a reader sees what the machine walks through


def in_flight(world: World, worker: int = 0) -> Job:
    """A worker has claimed, and its request has left."""
    world.claim(worker)
    job = world.workers[worker][-1]
    world.leave(job)
    return job


def accepted_by(world: World, job: Job, *, lag: float | None = 0.0) -> None:
    assert job.request is not None
    world.accept(job.request, lag=lag)


def reconcile(world: World) -> None:
    world.sweep()
    world.look()
    while world.reports:
        world.judge()


def states(world: World) -> list[str]:
    return [row.state for row in world.rows()]


def test_a_killed_workers_message_is_found_in_the_report_and_not_sent_again() -> None:
    world = World()
    world.enqueue()
    accepted_by(world, in_flight(world))
    world.crash(0)
    world.wait(LEASE.total_seconds())
    reconcile(world)
    assert states(world) == ["sent"]
    assert world.violations() == []


def test_a_killed_workers_message_that_never_arrived_is_sent_again() -> None:
    world = World()
    world.enqueue()
    in_flight(world)
    world.crash(0)
    world.heal()
    assert (states(world), len(world.accepted), world.violations()) == (["sent"], 1, [])


def test_a_report_read_before_the_settle_window_and_judged_after_it_proves_no_absence() -> None:
    world = World()
    world.enqueue()
    accepted_by(world, in_flight(world), lag=None)
    world.crash(0)
    world.wait(LEASE.total_seconds())
    world.sweep()
    world.look()
    world.wait(2 * SETTLE.total_seconds())
    world.judge()
    assert states(world) == ["unknown"]


def test_a_late_answer_that_says_what_the_report_said_raises_no_alarm() -> None:
    world = World()
    world.enqueue()
    job = in_flight(world)
    accepted_by(world, job)
    world.hear(job)
    world.wait(LEASE.total_seconds())
    reconcile(world)
    world.record(0)
    assert (states(world), world.open_incidents(), world.violations()) == (["sent"], [], [])


def test_a_result_whose_commit_was_not_acknowledged_is_written_once() -> None:
    world = World()
    world.enqueue()
    job = in_flight(world)
    accepted_by(world, job)
    world.hear(job)
    world.record(0, acknowledged=False)
    world.record(0)
    assert (states(world), world.open_incidents(), world.violations()) == (["sent"], [], [])


def test_an_answer_recorded_long_after_it_came_keeps_no_other_message_unknown() -> None:
    world = World()
    world.enqueue(text="uno")
    first = in_flight(world)
    accepted_by(world, first)
    world.hear(first)
    world.wait(150)  # the database is away
    world.enqueue(text="dos")
    second = in_flight(world, worker=1)
    world.wait(1)
    world.record(0)
    world.wait(1)
    world.hear(second, readable=False)
    world.record(1)
    world.heal()
    assert (world.stuck(), world.violations()) == ([], [])


def test_equal_contents_are_sent_one_after_the_other() -> None:
    world = World()
    world.enqueue(text=TEXTS[0])
    world.enqueue(text=TEXTS[1])
    assert len(world.claim(0, 10)) == 1
    world.wait(60)
    assert world.claim(1, 10) == []
    world.leave(world.workers[0][0])
    accepted_by(world, world.workers[0][0])
    world.hear(world.workers[0][0])
    world.record(0)
    world.wait(6)
    assert len(world.claim(1, 10)) == 1
    world.heal()
    assert (states(world), world.violations()) == (["sent", "sent"], [])


# --- When the assumption is broken: the model sees it, and the product reports what it can know


def sent_twice(world: World) -> Job:
    """The report shows an accepted message later than SETTLE: it is sent again. Returns the first, unheard attempt."""
    world.enqueue()
    first = in_flight(world)
    accepted_by(world, first, lag=3 * SETTLE.total_seconds())
    world.wait(LEASE.total_seconds())
    world.sweep()
    world.wait(SETTLE.total_seconds())
    world.witness()
    reconcile(world)
    second = in_flight(world, worker=1)
    accepted_by(world, second)
    world.hear(second)
    world.record(1)
    return first


def test_a_report_later_than_the_settle_window_sends_twice_and_the_model_finds_it() -> None:
    world = World()
    sent_twice(world)
    assert world.violations() == ["message 1 was accepted twice: [1001, 1002]"]


def test_a_late_answer_of_an_attempt_that_was_sent_again_is_recorded_with_its_id() -> None:
    world = World()
    first = sent_twice(world)
    world.hear(first)
    world.record(0)
    assert world.open_incidents() == ["lost_id"]
    with world.database.read() as connection:
        last = connection.execute(sa.select(events).order_by(events.c.id.desc()).limit(1)).one()
    assert (last.cause, last.id_mensaje, last.to_state) == ("late_answer", 1001, "sent")
    assert [row.id_mensaje for row in world.rows()] == [1002]


def test_the_answer_of_an_attempt_that_waits_to_be_sent_again_stops_that() -> None:
    world = World()
    world.enqueue()
    first = in_flight(world)
    accepted_by(world, first, lag=3 * SETTLE.total_seconds())
    world.wait(LEASE.total_seconds())
    world.sweep()
    world.wait(SETTLE.total_seconds())
    world.witness()
    reconcile(world)
    assert states(world) == ["queued"]
    world.hear(first)
    world.record(0)
    assert states(world) == ["sent"]
    world.heal()
    assert len(world.accepted) == 1


def test_an_operator_who_sends_an_unknown_again_gets_an_incident_when_both_were_accepted() -> None:
    world = World()
    message_id = world.enqueue()
    first = in_flight(world)
    accepted_by(world, first)
    world.wait(LEASE.total_seconds())
    world.sweep()
    world.retry(message_id, even_if_unknown=True)
    second = in_flight(world, worker=1)
    accepted_by(world, second)
    world.hear(second)
    world.record(1)
    world.hear(first)
    world.record(0)
    assert (states(world), world.open_incidents()) == (["sent"], ["lost_id"])


def test_a_reconciler_that_sends_again_at_once_is_found_out() -> None:
    world = World(settle_seconds=0.001)
    world.enqueue()
    accepted_by(world, in_flight(world), lag=READ.total_seconds() * 10)
    world.crash(0)
    world.wait(LEASE.total_seconds() + 1)
    world.witness()
    reconcile(world)
    assert world.violations() == ["message 1 is queued although it was accepted"]
