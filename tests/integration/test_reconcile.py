"""Reconciling attempts of unknown outcome, with the real simulator, on a real database."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from smsclick._values.causes import Cause
from smsclick.contract import HoldReason, IfAbsent, State
from smsclick.provider.clock import clock
from smsclick.provider.codes import Action
from smsclick.provider.results import Accepted, Refused, Unknown
from smsclick.simulator import Fault, FaultKind
from tests import one_sender
from tests.factories import LONG_AGO, PHONE
from tests.integration.workbench import SETTLE_SECONDS, Bench, bench
from worker.account import holds
from worker.account.holds import MOST_FAILURES
from worker.maintenance import balance
from worker.reconciliation import reconcile
from worker.reconciliation.absence_proof import LEAST_CONTROL_ROWS
from worker.reports import watermark
from worker.reports.matching import CLOCK_TOLERANCE
from worker.sending import attempts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.lifecycle.attempt import Claim
    from worker.lifecycle.policy import Outcome
    from worker.runtime import Runtime

DUPLICATE = "Recordatorio: su cita es mañana a las 10"
FOUND = Cause.FOUND_IN_REPORT
ABSENT = Cause.ABSENT_FROM_REPORT
PATIENT_SECONDS = 600.0


@pytest.fixture(params=["sqlite", "postgres"])
def made(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with bench(request.getfixturevalue(f"migrated_{request.param}_url")) as running:
        yield running


def unknown(made: Bench, *, accepted: bool, **values: object) -> int:
    """A message whose worker was killed while its request was in flight, with control rows before it."""
    made.witness(LEAST_CONTROL_ROWS)
    [message_id] = made.enqueue(**values)
    [claim] = made.claim([message_id])
    if accepted:
        made.call(claim)
    made.lose()
    assert made.row(message_id).state == State.UNKNOWN
    return message_id


def patient(runtime: Runtime) -> Runtime:
    """Make the window SETTLE so long that a slow machine, too, sees the time before its end."""
    return dataclasses.replace(
        runtime, settings=runtime.settings.model_copy(update={"settle_seconds": PATIENT_SECONDS})
    )


def causes(made: Bench, message_id: int) -> list[str]:
    return [event.cause for event in made.history(message_id)]


# --- Found, absent


def test_what_the_report_has_is_sent_with_its_id_and_the_event_says_how(made: Bench) -> None:
    message_id = unknown(made, accepted=True)
    assert made.reconcile() == 1
    [accepted] = made.ledger()
    row, last = made.row(message_id), made.history(message_id)[-1]
    assert (row.state, row.id_mensaje, row.last_code) == (State.SENT, accepted.id_mensaje, 1)
    assert abs(row.sent_at.timestamp() - accepted.accepted_at) <= 1
    assert (last.cause, last.code, last.id_mensaje) == (FOUND, 1, accepted.id_mensaje)
    assert last.description == "phone and text equal"


def test_producers_are_notified_as_soon_as_the_report_shows_the_attempt(made: Bench) -> None:
    unknown(made, accepted=True, callback="celery:app.tasks.sms_changed@queue")
    made.wakeups.called_back.clear()
    made.reconcile()
    assert made.wakeups.called_back.is_set()


def test_what_is_found_is_followed_to_its_end(made: Bench) -> None:
    unknown(made, accepted=True)
    made.live(rounds=2)
    assert made.states() == [State.DELIVERED]


@pytest.mark.parametrize("form", ["ascii", "collapsed", "cut"])
def test_a_text_that_the_provider_changed_is_found_and_the_event_says_so(form: str, made: Bench) -> None:
    made.simulator.set(text_form=form)
    text = "Señor Núñez:  su código de verificación es 4821, no lo comparta con nadie. " * 3
    message_id = unknown(made, accepted=True, text=text)
    made.reconcile()
    assert made.row(message_id).state == State.SENT
    assert made.history(message_id)[-1].description == "phone equal, text alike"


def test_what_a_later_report_lacks_is_sent_again(made: Bench) -> None:
    message_id = unknown(made, accepted=False)
    made.ripen()
    assert made.reconcile() == 1
    assert (made.row(message_id).state, causes(made, message_id)[-1]) == (State.QUEUED, ABSENT)
    assert made.wakeups.swept.is_set()
    made.send([message_id])
    assert (made.states(), len(made.ledger())) == ([State.SENT], 1)
    assert made.row(message_id).attempts == 2


def test_what_a_later_report_lacks_fails_where_its_producer_asked_for_that(made: Bench) -> None:
    message_id = unknown(made, accepted=False, if_absent=IfAbsent.FAIL)
    made.ripen()
    made.reconcile()
    row = made.row(message_id)
    assert (row.state, row.due_at, row.last_error) == (
        State.FAILED,
        None,
        "surely not accepted: the provider's report does not have it",
    )


def test_absence_means_nothing_before_the_settle_window_is_over(made: Bench) -> None:
    unknown(made, accepted=False)
    made.age(SETTLE_SECONDS - 30)
    assert made.reconcile() == 0
    assert made.states() == [State.UNKNOWN]


def test_the_next_look_comes_no_later_than_absence_counts(made: Bench) -> None:
    runtime = patient(made.runtime)
    message_id = unknown(made, accepted=False)
    made.age(PATIENT_SECONDS - 30)
    made.change(State.UNKNOWN, due_at=LONG_AGO, polls=10)  # by itself the next look would come in a minute
    reconcile.reconcile(runtime)
    row = made.row(message_id)
    assert row.due_at <= row.unknown_since + dt.timedelta(seconds=PATIENT_SECONDS)


def test_a_young_unknown_does_not_keep_an_old_one_of_the_same_slice_waiting(made: Bench) -> None:
    old = unknown(made, accepted=False)
    made.ripen()
    young = unknown(made, accepted=False)
    made.reconcile()
    assert (made.row(old).state, made.row(young).state) == (State.QUEUED, State.UNKNOWN)


def test_reconciling_twice_at_once_decides_each_once(made: Bench) -> None:
    for _ in range(5):
        unknown(made, accepted=True)
    made.change(State.UNKNOWN, due_at=LONG_AGO)
    with ThreadPoolExecutor(4) as pool:
        reconciled = list(pool.map(lambda _: reconcile.reconcile(made.runtime), range(4)))
    assert sum(reconciled) == 5
    assert [causes(made, row.id).count(FOUND) for row in made.rows(State.SENT)] == [1] * 5


# --- A report that proves nothing


@pytest.mark.parametrize("kind", [FaultKind.HTTP_500_BEFORE, FaultKind.HTML_AFTER, FaultKind.CUT, FaultKind.WRONG_KEY])
def test_a_report_that_cannot_be_read_concludes_nothing_and_is_read_again(kind: FaultKind, made: Bench) -> None:
    message_id = unknown(made, accepted=False)
    made.ripen()
    made.simulator.faults([Fault(kind=kind, endpoints=("report",))])
    assert made.reconcile() == 0
    row = made.row(message_id)
    assert (row.state, row.polls) == (State.UNKNOWN, 1)
    assert row.due_at - made.database.clock() < dt.timedelta(seconds=10)
    made.simulator.faults()
    assert made.reconcile() == 1


def test_unknowns_that_grow_old_open_one_incident_that_ends_with_them(made: Bench) -> None:
    unknown(made, accepted=True)
    made.simulator.faults([Fault(kind=FaultKind.HTTP_503_BEFORE, endpoints=("report",))])
    made.reconcile()
    assert made.alert_events() == []
    made.age(2 * SETTLE_SECONDS + 1)
    made.reconcile()
    made.reconcile()
    assert made.alert_events() == [("old_unknown", "opened")]
    assert made.wakeups.alerted.is_set()
    made.simulator.faults()
    made.age(-2 * SETTLE_SECONDS)  # back to where the provider's dates are
    made.reconcile()
    assert made.states() == [State.SENT]
    assert made.alert_events() == [("old_unknown", "opened"), ("old_unknown", "closed")]


def test_a_report_that_lags_finds_the_message_when_it_shows_it(made: Bench) -> None:
    made.simulator.set(report_lag=3600)
    message_id = unknown(made, accepted=True)
    assert made.reconcile() == 0
    made.simulator.set(report_lag=0)
    assert made.reconcile() == 1
    assert made.row(message_id).state == State.SENT


def test_nothing_is_asked_while_the_key_is_refused(made: Bench) -> None:
    unknown(made, accepted=True)
    made.change_account(hold_reason=HoldReason.KEY_REFUSED)
    made.reconcile()
    assert "report" not in made.simulator.stats().requests
    assert made.states() == [State.UNKNOWN]


def test_unknowns_of_different_times_are_asked_for_in_slices(made: Bench) -> None:
    unknown(made, accepted=True)
    made.simulator.set(report_lag=3600)
    made.age(1200)
    made.change(State.UNKNOWN, unknown_since=made.database.clock())  # young by its end, old by its beginning
    unknown(made, accepted=True)
    unknown(made, accepted=True)
    made.reconcile()
    assert made.simulator.stats().requests["report"] == {"1": 2}


def test_where_reports_are_dense_slices_become_shorter(made: Bench) -> None:
    for _ in range(3):
        unknown(made, accepted=True)
        made.age(20)
    with made.database.begin() as connection:
        watermark.record_density(connection, "unknown", 400, dt.timedelta(seconds=1))
    made.age()
    assert made.reconcile() == 3
    assert made.simulator.stats().requests["report"]["1"] > 3
    with made.database.read() as connection:
        assert (watermark.density(connection, "unknown") or 0) < 400


# --- Ids of others, ids of ours


def test_an_id_of_others_within_the_window_is_matched_at_most_once(made: Bench) -> None:
    made.runtime.client.send(PHONE, DUPLICATE)
    first = unknown(made, accepted=False, text=DUPLICATE)
    made.reconcile()
    assert made.row(first).id_mensaje == made.ledger()[0].id_mensaje
    second = unknown(made, accepted=False, text=DUPLICATE)
    made.ripen()
    made.reconcile()
    assert made.row(second).state == State.QUEUED


def test_an_id_of_others_outside_the_window_is_not_ours(made: Bench) -> None:
    made.runtime.client.send(PHONE, DUPLICATE)
    made.age(CLOCK_TOLERANCE.total_seconds() * 2)
    message_id = unknown(made, accepted=False, text=DUPLICATE)
    made.ripen()
    made.reconcile()
    assert (made.row(message_id).state, made.row(message_id).id_mensaje) == (State.QUEUED, None)


def test_an_id_that_another_message_has_proves_nothing(made: Bench) -> None:
    made.send(made.enqueue(text=DUPLICATE))
    second = unknown(made, accepted=False, text=DUPLICATE)
    made.ripen()
    made.reconcile()
    assert made.row(second).state == State.QUEUED


# --- In-flight duplicates


def test_duplicates_are_never_in_flight_together(made: Bench) -> None:
    first, second = made.enqueue(2, text=DUPLICATE)
    [claim] = made.claim([first, second])
    assert claim.id == first
    row = made.row(second)
    assert (row.state, row.attempts, row.waits_for) == (State.QUEUED, 0, made.row(first).wire_key)
    assert made.claim([second]) == []


@pytest.mark.parametrize("other", [DUPLICATE.upper(), DUPLICATE.replace("ñ", "n"), f" {DUPLICATE}\n"])
def test_a_text_that_a_report_could_take_for_the_other_is_a_duplicate(other: str, made: Bench) -> None:
    made.enqueue(text=DUPLICATE)
    made.enqueue(text=other)
    assert len(made.claim()) == 1


def test_the_same_text_to_another_phone_is_no_duplicate(made: Bench) -> None:
    made.enqueue(text=DUPLICATE)
    made.enqueue(text=DUPLICATE, phone="3312345678")
    assert len(made.claim()) == 2


def test_a_duplicate_goes_when_the_first_is_answered(made: Bench) -> None:
    ids = made.enqueue(2, text=DUPLICATE)
    [claim] = made.claim(ids)
    made.record(claim, made.call(claim))
    assert made.states() == [State.SENT, State.QUEUED]
    made.send()
    assert made.states() == [State.SENT, State.SENT]
    assert len(made.ledger()) == 2


def test_a_duplicate_of_an_unknown_waits_until_that_is_reconciled(made: Bench) -> None:
    first, second = made.enqueue(2, text=DUPLICATE)
    [claim] = made.claim([first])
    made.call(claim)
    made.lose()
    made.send([second])
    assert made.row(second).state == State.QUEUED
    made.reconcile()
    made.send()
    ids = [entry.id_mensaje for entry in made.ledger()]
    assert [(row.state, row.id_mensaje) for row in made.rows()] == [(State.SENT, ids[0]), (State.SENT, ids[1])]


def test_of_duplicates_that_are_claimed_at_the_same_time_one_goes(made: Bench) -> None:
    for _ in range(5):
        ids = made.enqueue(2, text=DUPLICATE)
        barrier = threading.Barrier(2)

        def take(message_id: int, barrier: threading.Barrier = barrier) -> int:
            barrier.wait()
            return len(made.claim([message_id]))

        with ThreadPoolExecutor(2) as pool:
            assert sum(pool.map(take, ids)) == 1
        made.change(State.SENDING, state=State.CANCELLED, due_at=None, wire_key=None)
        made.change(State.QUEUED, state=State.CANCELLED, due_at=None, waits_for=None)


# --- Late answers


def test_a_late_accepted_answer_ends_an_unknown(made: Bench) -> None:
    [message_id] = made.enqueue()
    [claim] = made.claim()
    answer = made.call(claim)
    made.lose()
    made.record(claim, answer)
    assert (made.row(message_id).state, made.row(message_id).id_mensaje) == (
        State.SENT,
        made.ledger()[0].id_mensaje,
    )
    assert made.alert_events() == []


def judged_absent(made: Bench) -> tuple[int, Claim, Outcome]:
    """A message that was accepted and that the report never shows, against all that was assumed; its answer is late."""
    made.simulator.set(omit_suffixes=["99"])
    made.witness(LEAST_CONTROL_ROWS)
    [message_id] = made.enqueue(phone="5551402299")
    [claim] = made.claim([message_id])
    answer = made.call(claim)
    made.lose()
    made.ripen()
    made.reconcile()
    assert made.states() == [State.QUEUED]
    return message_id, claim, answer


def test_a_late_accepted_answer_stops_what_was_about_to_be_sent_again(made: Bench) -> None:
    message_id, claim, answer = judged_absent(made)
    made.record(claim, answer)
    made.send([message_id])
    assert (made.states(), len(made.ledger()), made.alert_events()) == ([State.SENT], 1, [])


def test_the_id_of_an_attempt_that_was_sent_again_is_kept_and_reported(made: Bench) -> None:
    message_id, claim, answer = judged_absent(made)
    made.send([message_id])
    made.record(claim, answer)
    first, second = made.ledger()
    assert made.row(message_id).id_mensaje == second.id_mensaje
    assert made.history(message_id)[-1].id_mensaje == first.id_mensaje
    assert made.alert_events() == [("lost_id", "opened")]


def test_a_late_answer_that_says_what_the_report_said_raises_no_alarm(made: Bench) -> None:
    [message_id] = made.enqueue()
    [claim] = made.claim()
    answer = made.call(claim)
    made.lose()
    made.reconcile()
    made.record(claim, answer)
    assert (made.states(), made.alert_events()) == ([State.SENT], [])
    assert causes(made, message_id)[-1] == FOUND


@pytest.mark.parametrize(
    "answer",
    [
        Refused(-102, "no", Action.FAIL, "refused"),
        Refused(None, "", Action.RETRY, "never left"),
        Unknown("no answer in time"),
    ],
    ids=["refused", "never left", "unknown"],
)
def test_a_late_answer_that_is_no_acceptance_changes_nothing_that_was_decided(
    answer: Refused | Unknown, made: Bench
) -> None:
    made.enqueue()
    [claim] = made.claim()
    made.call(claim)
    made.lose()
    made.reconcile()
    before = made.rows()
    made.record(claim, answer)
    assert made.rows() == before


def test_an_accepted_answer_with_an_id_that_another_message_has_is_never_sent_again(made: Bench) -> None:
    made.send(made.enqueue())
    [accepted] = made.ledger()
    [message_id] = made.enqueue()
    [claim] = made.claim()
    made.record(claim, Accepted(accepted.id_mensaje, 1, "Mensaje enviado"))
    assert made.row(message_id).state == State.UNKNOWN
    assert made.alert_events() == [("lost_id", "opened")]
    made.live()
    assert made.row(message_id).state == State.UNKNOWN


# --- The breaker


def down(made: Bench) -> None:
    made.simulator.faults([Fault(kind=FaultKind.HTTP_503_BEFORE)])


def test_a_provider_that_is_down_leaves_no_more_unknowns_than_the_breaker_counts(made: Bench) -> None:
    down(made)
    made.send(made.enqueue(30)[:10])
    assert made.states().count(State.UNKNOWN) == MOST_FAILURES
    assert made.states().count(State.QUEUED) == 30 - MOST_FAILURES
    assert made.account_state().hold_reason is HoldReason.PROVIDER_DOWN
    assert made.alert_events() == [("provider_down", "opened")]


def test_an_answer_lets_the_count_begin_again(made: Bench) -> None:
    ids = made.enqueue(2 * MOST_FAILURES)
    for message_id in ids:
        fails = message_id != ids[MOST_FAILURES - 1]
        made.simulator.faults([Fault(kind=FaultKind.HTTP_503_BEFORE)] if fails else [])
        [claim] = made.claim([message_id])
        made.record(claim, made.call(claim), failures=made.account_state().failures)
        if not fails:
            assert made.account_state().failures == 0
            break
        assert made.account_state().is_open
    assert made.account_state().is_open


def test_an_answer_to_a_request_that_left_before_the_failures_does_not_end_their_count(made: Bench) -> None:
    early, *ids = made.enqueue(1 + MOST_FAILURES)
    [answered] = made.claim([early])
    for message_id in ids:
        made.simulator.faults([Fault(kind=FaultKind.HTTP_503_BEFORE)])
        [claim] = made.claim([message_id])
        made.record(claim, made.call(claim), failures=made.account_state().failures)
        if message_id == ids[-2]:
            made.simulator.faults([])
            made.record(answered, made.call(answered), failures=0)
    assert made.account_state().hold_reason is HoldReason.PROVIDER_DOWN


def test_failures_from_before_the_last_reopening_do_not_count(made: Bench) -> None:
    made.change_account(epoch=3)
    for _ in range(2 * MOST_FAILURES):
        with made.database.begin() as connection:
            holds.count_failures(connection, 1, epoch=2, settings=made.runtime.settings)
    assert (made.account_state().is_open, made.account_state().failures) == (True, 0)


def test_claims_that_were_over_when_their_worker_woke_are_given_back_and_do_not_count(made: Bench) -> None:
    made.enqueue(2 * MOST_FAILURES)
    for _ in range(2 * MOST_FAILURES):
        [claim] = made.claim()[:1]
        one_sender.attempt(made.runtime, attempts.Batch(clock() - 3600, [claim]))
    assert (made.account_state().is_open, made.account_state().failures, made.ledger()) == (True, 0, [])


def test_the_breakers_hold_ends_through_one_canary(made: Bench) -> None:
    down(made)
    made.send(made.enqueue(30)[:10])
    made.simulator.faults()
    made.change_account(probe_at=LONG_AGO)
    balance.check(made.runtime)
    canary = made.account_state().allowed_canary
    assert made.wakeups.sends[-1] == [canary]
    assert made.ledger() == []
    made.runtime.hold_cache.forget()
    made.send([canary] if canary else [])
    assert made.account_state().is_open
    assert made.alert_events() == [("provider_down", "opened"), ("provider_down", "closed")]
    assert len(made.ledger()) == 30 - MOST_FAILURES


def test_a_canary_that_is_not_answered_leaves_the_account_held(made: Bench) -> None:
    down(made)
    made.send(made.enqueue(30)[:10])
    made.change_account(probe_at=LONG_AGO)
    balance.check(made.runtime)
    canary = made.account_state().allowed_canary
    made.runtime.hold_cache.forget()
    made.send([canary] if canary else [])
    assert made.account_state().hold_reason is HoldReason.PROVIDER_DOWN
    assert made.states().count(State.UNKNOWN) == MOST_FAILURES + 1
    assert made.alert_events() == [("provider_down", "opened")]


def test_after_an_outage_everything_is_delivered_once(made: Bench) -> None:
    made.witness(LEAST_CONTROL_ROWS)
    down(made)
    made.send(made.enqueue(30)[:10])
    made.simulator.faults()
    made.live()
    assert set(made.states()) == {State.DELIVERED}
    assert len(made.ledger()) == 30
