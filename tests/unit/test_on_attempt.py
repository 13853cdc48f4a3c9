"""What an attempt's outcome makes of a message, in time or late."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
from typing import TYPE_CHECKING

import pytest

from smsclick._values.causes import PHRASES, Cause
from smsclick.contract import State
from smsclick.provider.codes import CODES, Action, Estatus
from smsclick.provider.results import Unknown
from tests.factories import NOW, POLICY, sending
from tests.outcomes import ACCEPTED, RNG, UNREACHABLE, refused, seconds
from worker.lifecycle import on_attempt
from worker.lifecycle.on_attempt import MAX_REFUSALS
from worker.lifecycle.policy import Invalid, OptedOut, Outcome, Released

if TYPE_CHECKING:
    from worker.lifecycle.model import Change, Message


def attempt(was: Message, outcome: Outcome, rng: random.Random = RNG) -> Change:
    change = on_attempt.after_attempt(was, "mine", outcome, NOW, POLICY, rng)
    assert change is not None
    return change


# --- How an attempt ended


def test_an_accepted_message_is_sent_with_its_id_and_followed() -> None:
    becomes = attempt(sending(refusals=3, last_code=-999, last_error="x"), ACCEPTED).becomes
    assert (becomes.state, becomes.id_mensaje, becomes.estatus_mensaje) == (State.SENT, 7, Estatus.PENDIENTE)
    assert (becomes.credits_used, becomes.sent_at, becomes.refusals, becomes.polls) == (2, NOW, 0, 0)
    assert (becomes.last_code, becomes.last_error, becomes.token, becomes.lease_until) == (1, None, None, None)
    assert becomes.due_at is not None
    assert NOW + seconds(13.5) <= becomes.due_at <= NOW + seconds(16.5)


def test_an_answer_that_proves_nothing_makes_it_unknown_and_keeps_the_token_for_a_late_answer() -> None:
    change = attempt(sending(), Unknown("no answer in time", code=-104))
    assert change.becomes == dataclasses.replace(
        sending(),
        state=State.UNKNOWN,
        lease_until=None,
        unknown_since=NOW,
        due_at=NOW + seconds(2),
        last_code=-104,
        last_error="no answer in time",
    )


@pytest.mark.parametrize("code", [row.code for row in CODES if row.action is Action.FAIL])
def test_a_code_that_blames_the_message_fails_it_for_good(code: int) -> None:
    becomes = attempt(sending(), refused(code)).becomes
    assert (becomes.state, becomes.due_at, becomes.final_at, becomes.last_code) == (State.FAILED, None, NOW, code)


def test_the_codes_that_fail_a_message_are_the_contracts() -> None:
    assert {row.code for row in CODES if row.action is Action.FAIL} == {-102, -103, -105}


@pytest.mark.parametrize("code", [-104, -100, -101])
def test_a_code_that_blames_the_account_costs_no_attempt_and_no_wait(code: int) -> None:
    becomes = attempt(sending(attempts=3, refusals=2), refused(code)).becomes
    assert (becomes.state, becomes.due_at, becomes.attempts, becomes.refusals) == (State.QUEUED, NOW, 2, 2)
    assert (becomes.last_code, becomes.last_error, becomes.token) == (code, "dicho por el proveedor", None)


@pytest.mark.parametrize("code", [-999, -1, 0, 2, -200, -303])
def test_a_code_that_the_manual_does_not_list_is_retried_with_growing_waits(code: int) -> None:
    was, waits = sending(), []
    for _ in range(MAX_REFUSALS - 1):
        becomes = attempt(was, refused(code), random.Random(1)).becomes
        assert becomes.state is State.QUEUED
        assert becomes.due_at is not None
        waits.append((becomes.due_at - NOW).total_seconds())
        was = sending(refusals=becomes.refusals, attempts=was.attempts + 1)
    assert waits == sorted(waits)
    assert len(set(waits)) == len(waits)
    assert waits[0] >= 2.5


def test_a_code_that_the_manual_does_not_list_fails_the_message_at_the_limit() -> None:
    becomes = attempt(sending(refusals=MAX_REFUSALS - 1), refused(-999)).becomes
    assert (becomes.state, becomes.due_at, becomes.refusals) == (State.FAILED, None, MAX_REFUSALS)


@pytest.mark.parametrize("attempts", [1, MAX_REFUSALS + 1, 10_000])
def test_a_provider_that_cannot_be_reached_is_tried_forever_without_counting_refusals(attempts: int) -> None:
    becomes = attempt(sending(attempts=attempts, refusals=2), UNREACHABLE).becomes
    assert (becomes.state, becomes.refusals, becomes.attempts) == (State.QUEUED, 2, attempts)
    assert becomes.due_at is not None
    assert NOW + seconds(1) <= becomes.due_at <= NOW + seconds(300)


def test_a_row_that_cannot_be_sent_fails_with_the_reason_and_spends_no_attempt() -> None:
    change = attempt(sending(), Invalid("the text is empty"))
    assert (change.becomes.state, change.becomes.attempts, change.becomes.last_error) == (
        State.FAILED,
        0,
        "the text is empty",
    )
    assert change.note is not None
    assert change.note.cause is Cause.INVALID


def test_a_message_to_a_phone_that_opted_out_fails_with_a_cause_of_its_own_and_spends_no_attempt() -> None:
    change = attempt(sending(attempts=3), OptedOut())
    becomes = change.becomes
    assert (becomes.state, becomes.attempts, becomes.token, becomes.final_at) == (State.FAILED, 2, None, NOW)
    assert becomes.last_error == PHRASES[Cause.OPTED_OUT]
    assert change.note is not None
    assert (change.note.cause, change.note.description) == (Cause.OPTED_OUT, None)


def test_a_claim_whose_request_never_left_goes_back_and_spends_no_attempt() -> None:
    becomes = attempt(sending(attempts=4, last_code=-104), Released()).becomes
    assert (becomes.state, becomes.due_at, becomes.attempts, becomes.token) == (State.QUEUED, NOW, 3, None)
    assert becomes.last_code == -104


# --- Answers that come late


def late(**values: object) -> Message:
    return sending(state=State.UNKNOWN, lease_until=None, due_at=NOW, **values)


def test_a_late_accepted_answer_makes_an_unknown_message_sent_at_the_time_of_its_attempt() -> None:
    change = attempt(late(), ACCEPTED)
    assert (change.becomes.state, change.becomes.id_mensaje) == (State.SENT, 7)
    assert change.becomes.sent_at == NOW - seconds(1)
    assert change.note is not None
    assert change.note.cause is Cause.LATE_ANSWER


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (refused(-102), State.FAILED),
        (refused(-104), State.QUEUED),
        (refused(-999), State.QUEUED),
        (UNREACHABLE, State.QUEUED),
        (Released(), State.QUEUED),
        (Invalid("empty"), State.FAILED),
        (OptedOut(), State.FAILED),
    ],
)
def test_a_late_answer_that_proves_a_refusal_ends_an_unknown_attempt(outcome: Outcome, state: State) -> None:
    assert attempt(late(), outcome).becomes.state is state


def test_a_late_answer_that_proves_nothing_changes_nothing() -> None:
    assert on_attempt.after_attempt(late(), "mine", Unknown("reset"), NOW, POLICY, RNG) is None


@pytest.mark.parametrize("outcome", [ACCEPTED, refused(-102), Unknown("reset"), Released(), Invalid("x"), OptedOut()])
def test_an_answer_to_an_attempt_that_is_not_the_latest_changes_nothing(outcome: Outcome) -> None:
    assert on_attempt.after_attempt(sending(token="another"), "mine", outcome, NOW, POLICY, RNG) is None


@pytest.mark.parametrize("state", sorted(set(State) - {State.SENDING, State.UNKNOWN}))
@pytest.mark.parametrize("outcome", [ACCEPTED, refused(-102), Released()])
def test_an_answer_for_a_row_that_does_not_wait_for_it_changes_nothing(state: State, outcome: Outcome) -> None:
    assert on_attempt.after_attempt(sending(state=state), "mine", outcome, NOW, POLICY, RNG) is None


def test_a_lost_worker_makes_its_message_unknown_and_never_queued() -> None:
    becomes = on_attempt.after_lease(sending(), NOW).becomes
    assert (becomes.state, becomes.due_at, becomes.lease_until, becomes.token) == (State.UNKNOWN, NOW, None, "mine")
    assert becomes.attempts == 1


def test_the_request_of_a_lost_worker_may_have_left_until_its_lease_ended() -> None:
    """Absence counts from then on: from the claim on would be too early, from now on would wait for nothing."""
    was = sending()
    later = NOW + dt.timedelta(hours=1)
    assert on_attempt.after_lease(was, later).becomes.unknown_since == was.lease_until
    assert on_attempt.after_lease(sending(lease_until=None), later).becomes.unknown_since == later
