"""What becomes of a message: every branch of the pure decisions, and random walks through all of them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsclick.contract import State
from smsclick.provider.codes import CODES, Action, Estatus, lookup
from smsclick.provider.results import Accepted, MessageStatus, Refused, Unknown
from smsclick.settings import load_settings
from tests.factories import NOW, POLICY, message, sending, sent
from worker.lifecycle import on_attempt, on_claim, on_operator, on_status, policy
from worker.lifecycle.model import FINAL, TRANSITIONS, Cause, Change, Message
from worker.lifecycle.on_attempt import MAX_REFUSALS
from worker.lifecycle.on_status import PollFailed
from worker.lifecycle.policy import Invalid, Outcome, Policy, Released

RNG = random.Random(0)
ACCEPTED = Accepted(id_mensaje=7, credits_used=2, description="Mensaje enviado")
UNREACHABLE = Refused(None, "", Action.RETRY, "the connection was refused; the request never left")


def seconds(value: float) -> dt.timedelta:
    return dt.timedelta(seconds=value)


def refused(code: int) -> Refused:
    return Refused(code, "dicho por el proveedor", lookup(code).action, lookup(code).meaning)


def status(estatus: int, reply: str | None = None, replied_at: dt.datetime | None = None) -> MessageStatus:
    return MessageStatus(Estatus(estatus), "5551402211", "hola", None, reply, replied_at, "ok")


def attempt(was: Message, outcome: Outcome, rng: random.Random = RNG) -> Change:
    change = on_attempt.after_attempt(was, "mine", outcome, NOW, POLICY, rng)
    assert change is not None
    return change


def poll(was: Message, seen: MessageStatus | PollFailed, now: dt.datetime = NOW) -> Change:
    change = on_status.after_poll(was, seen, now, POLICY, RNG)
    assert change is not None
    return change


# --- The claim


def test_a_claim_puts_the_attempt_on_record_with_a_token_and_a_lease() -> None:
    change = on_claim.after_claim(message(attempts=2), "mine", "wire", NOW, POLICY)
    assert change.note is not None
    assert change.note.cause is Cause.CLAIMED
    assert change.becomes == message(
        state=State.SENDING,
        token="mine",
        wire_key="wire",
        attempts=3,
        attempted_at=NOW,
        lease_until=NOW + seconds(120),
        due_at=NOW + seconds(120),
    )


@pytest.mark.parametrize("ago", [0, 1, 86_400])
def test_a_message_whose_validity_is_over_expires_instead_of_being_claimed(ago: int) -> None:
    change = on_claim.after_claim(message(expires_at=NOW - seconds(ago)), "mine", "wire", NOW, POLICY)
    assert (change.becomes.state, change.becomes.due_at, change.becomes.final_at) == (State.EXPIRED, None, NOW)
    assert change.becomes.attempts == 0


def test_a_message_that_is_still_valid_is_claimed() -> None:
    change = on_claim.after_claim(message(expires_at=NOW + seconds(0.001)), "mine", "wire", NOW, POLICY)
    assert change.becomes.state is State.SENDING


def test_a_message_before_its_time_waits_for_it_without_an_event() -> None:
    send_at = NOW + seconds(1)
    change = on_claim.after_claim(message(send_at=send_at), "mine", "wire", NOW, POLICY)
    assert change == Change(message(send_at=send_at), message(send_at=send_at, due_at=send_at), None)


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
def test_a_provider_that_cannot_be_reached_is_tried_for_ever_without_counting_refusals(attempts: int) -> None:
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


def test_a_claim_whose_request_never_left_goes_back_and_spends_no_attempt() -> None:
    becomes = attempt(sending(attempts=4, last_code=-104), Released()).becomes
    assert (becomes.state, becomes.due_at, becomes.attempts, becomes.token) == (State.QUEUED, NOW, 3, None)
    assert becomes.last_code == -104


# --- Answers that come late


def late(**values: object) -> Message:
    return sending(state=State.UNKNOWN, lease_until=None, due_at=NOW, **values)


def test_a_late_accepted_answer_settles_an_unknown_row_at_the_time_of_its_attempt() -> None:
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
    ],
)
def test_a_late_answer_that_proves_a_refusal_settles_an_unknown_row(outcome: Outcome, state: State) -> None:
    assert attempt(late(), outcome).becomes.state is state


def test_a_late_answer_that_proves_nothing_changes_nothing() -> None:
    assert on_attempt.after_attempt(late(), "mine", Unknown("reset"), NOW, POLICY, RNG) is None


@pytest.mark.parametrize("outcome", [ACCEPTED, refused(-102), Unknown("reset"), Released(), Invalid("x")])
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


# --- Following


@pytest.mark.parametrize(("estatus", "state"), [(3, State.DELIVERED), (4, State.REJECTED)])
@pytest.mark.parametrize("before", [State.SENT, State.UNDETERMINED])
def test_a_final_estatus_ends_it(estatus: int, state: State, before: State) -> None:
    becomes = poll(sent(state=before, last_code=-201, last_error="no existe"), status(estatus)).becomes
    assert (becomes.state, becomes.estatus_mensaje, becomes.final_at) == (state, estatus, NOW)
    assert (becomes.due_at, becomes.last_code, becomes.last_error) == (None, 1, None)


@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize("seen", [0, 1, 2])
def test_an_estatus_never_goes_backwards(before: int, seen: int) -> None:
    change = poll(sent(estatus_mensaje=before), status(seen))
    assert change.becomes.estatus_mensaje == max(before, seen)
    assert change.becomes.state is State.SENT
    assert change.note is None


@pytest.mark.parametrize("seen", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("state", [State.DELIVERED, State.REJECTED])
def test_a_final_status_stays_whatever_is_seen_later(state: State, seen: int) -> None:
    estatus = 3 if state is State.DELIVERED else 4
    was = sent(state=state, estatus_mensaje=estatus, final_at=NOW, rule_id="1")
    change = on_status.after_poll(was, status(seen), NOW, POLICY, RNG)
    assert change is None or (change.becomes.state, change.becomes.estatus_mensaje) == (state, estatus)


@pytest.mark.parametrize("code", [-201, -200, -101, -999, None])
def test_a_check_without_a_usable_answer_is_tried_later_and_is_never_final(code: int | None) -> None:
    becomes = poll(sent(estatus_mensaje=2, polls=1), PollFailed(code, "no existe")).becomes
    assert (becomes.state, becomes.estatus_mensaje, becomes.polls) == (State.SENT, 2, 2)
    assert (becomes.last_code, becomes.last_error) == (code, "no existe")
    assert becomes.due_at is not None
    assert becomes.due_at > NOW


@pytest.mark.parametrize("polls", range(10))
def test_the_waits_follow_the_schedule_with_jitter_and_the_last_repeats(polls: int) -> None:
    wait = POLICY.poll[min(polls + 1, len(POLICY.poll) - 1)]
    found = set()
    for seed in range(50):
        change = on_status.after_poll(sent(polls=polls), status(1), NOW, POLICY, random.Random(seed))
        assert change is not None
        assert change.becomes.due_at is not None
        found.add((change.becomes.due_at - NOW).total_seconds())
    assert wait * 0.9 <= min(found) < wait < max(found) <= wait * 1.1
    assert len(found) > 40


def test_the_last_check_is_at_the_end_of_the_tracking_window() -> None:
    almost = NOW + seconds(POLICY.tracking - 10)
    becomes = poll(sent(polls=9), status(2), almost).becomes
    assert (becomes.state, becomes.due_at) == (State.SENT, NOW + seconds(POLICY.tracking))


@pytest.mark.parametrize("seen", [status(2), PollFailed(-201, "no existe")])
def test_without_a_final_status_at_the_end_of_the_window_it_is_undetermined(seen: MessageStatus | PollFailed) -> None:
    change = poll(sent(), seen, NOW + seconds(POLICY.tracking))
    assert (change.becomes.state, change.becomes.final_at) == (State.UNDETERMINED, None)
    assert change.note is not None
    assert change.note.cause is Cause.TRACKING_ENDED


def test_a_final_status_at_the_end_of_the_window_counts() -> None:
    assert poll(sent(), status(3), NOW + seconds(POLICY.tracking)).becomes.state is State.DELIVERED


def test_an_undetermined_message_is_asked_for_rarely_and_not_for_ever() -> None:
    was = sent(state=State.UNDETERMINED)
    soon = NOW + seconds(POLICY.tracking + 1)
    becomes = poll(was, status(2), soon).becomes
    assert becomes.due_at is not None
    assert becomes.due_at - soon >= seconds(3600)
    assert poll(was, status(2), NOW + seconds(5 * POLICY.tracking)).becomes.due_at is None


@pytest.mark.parametrize("state", sorted(set(State) - {State.SENT, State.UNDETERMINED, State.DELIVERED}))
def test_a_status_of_a_message_that_is_not_followed_changes_nothing(state: State) -> None:
    assert on_status.after_poll(sent(state=state), status(3), NOW, POLICY, RNG) is None


# --- Replies


def delivered(**values: object) -> Message:
    given: dict[str, object] = {"state": State.DELIVERED, "estatus_mensaje": 3, "final_at": NOW, "rule_id": "1"}
    return sent(**(given | values))


def test_an_interactive_message_is_watched_for_its_reply_after_delivery() -> None:
    change = poll(sent(rule_id="1", polls=6), status(3))
    assert change.becomes.state is State.DELIVERED
    assert change.becomes.due_at is not None
    # The schedule begins anew: a reply often comes at once.
    assert change.becomes.due_at - NOW <= seconds(16.5)


def test_a_reply_is_kept_and_ends_the_watch() -> None:
    replied_at = NOW - seconds(5)
    change = poll(delivered(), status(3, "SÍ", replied_at))
    assert (change.becomes.reply, change.becomes.replied_at, change.becomes.due_at) == ("SÍ", replied_at, None)
    assert change.note is not None
    assert change.note.cause is Cause.REPLIED


def test_a_reply_without_a_readable_date_has_the_time_it_was_seen() -> None:
    assert poll(delivered(), status(3, "SÍ")).becomes.replied_at == NOW


def test_the_first_reply_stays() -> None:
    was = delivered(reply="SÍ", replied_at=NOW)
    becomes = poll(was, status(3, "NO", NOW + seconds(9))).becomes
    assert (becomes.reply, becomes.replied_at) == ("SÍ", NOW)


def test_a_reply_that_comes_with_the_delivery_is_kept_and_nothing_is_asked_any_more() -> None:
    becomes = poll(sent(rule_id="1"), status(3, "SÍ")).becomes
    assert (becomes.state, becomes.reply, becomes.due_at) == (State.DELIVERED, "SÍ", None)


def test_the_watch_for_a_reply_ends_a_tracking_window_after_delivery() -> None:
    final_at = NOW + seconds(POLICY.tracking - 1)
    was = delivered(final_at=final_at)
    assert poll(was, status(3), final_at + seconds(POLICY.tracking - 1)).becomes.due_at is not None
    assert poll(was, status(3), final_at + seconds(POLICY.tracking)).becomes.due_at is None


def test_a_failed_check_for_a_reply_leaves_no_error_on_a_delivered_message() -> None:
    becomes = poll(delivered(), PollFailed(-201, "no existe")).becomes
    assert (becomes.state, becomes.last_code, becomes.last_error) == (State.DELIVERED, 1, None)


def test_a_message_that_was_never_sent_is_not_followed() -> None:
    with pytest.raises(ValueError, match="never sent"):
        poll(sent(sent_at=None), status(1))


# --- The operator's hand


def test_a_cancelled_message_is_final() -> None:
    becomes = on_operator.cancelled(message(), NOW).becomes
    assert (becomes.state, becomes.due_at, becomes.final_at) == (State.CANCELLED, None, NOW)


def test_a_retried_message_begins_anew_with_its_refusals_and_keeps_the_token_for_a_late_answer() -> None:
    was = message(state=State.FAILED, due_at=None, final_at=NOW, refusals=MAX_REFUSALS, attempts=8, token="old")
    becomes = on_operator.retried(was, NOW).becomes
    assert (becomes.state, becomes.due_at, becomes.final_at) == (State.QUEUED, NOW, None)
    assert (becomes.refusals, becomes.attempts, becomes.token) == (0, 8, "old")


# --- Waits


@given(st.integers(1, 10**9), st.integers())
def test_a_backoff_stays_within_its_bounds(tries: int, seed: int) -> None:
    assert 1 <= policy.backoff(tries, (2.0, 300.0), random.Random(seed)) <= 300


def test_a_backoff_doubles() -> None:
    waits = [policy.backoff(tries, (2.0, 300.0), random.Random(1)) for tries in range(1, 6)]
    assert [round(later / earlier, 6) for earlier, later in itertools.pairwise(waits)] == [2.0] * 4


def test_the_policy_comes_from_the_settings() -> None:
    found = Policy.of(load_settings(SMSCLICK_LEASE_SECONDS="200", SMSCLICK_POLL_SECONDS="1, 2"))
    assert found == Policy(lease=200, settle=600, tracking=604_800, poll=(1, 2))


# --- Random walks

_OUTCOMES = st.one_of(
    st.builds(Accepted, st.integers(1, 2**63 - 1), st.none() | st.integers(0, 9), st.just("ok")),
    st.sampled_from([row.code for row in CODES if row.code != 1] + [-999, 0, 2]).map(refused),
    st.just(UNREACHABLE),
    st.builds(Unknown, st.just("reset"), st.none() | st.integers(-105, 1)),
    st.just(Released()),
    st.just(Invalid("empty")),
)
_SEEN = st.one_of(
    st.builds(status, st.integers(0, 4), st.none() | st.just("SÍ")),
    st.builds(PollFailed, st.none() | st.sampled_from([-200, -201, -101, -999]), st.just("no")),
)
_STEPS = st.one_of(
    st.tuples(st.just("claim"), st.none()),
    st.tuples(st.just("answer"), _OUTCOMES),
    st.tuples(st.just("late answer of an earlier attempt"), _OUTCOMES),
    st.tuples(st.just("lease"), st.none()),
    st.tuples(st.just("poll"), _SEEN),
    st.tuples(st.just("expiry"), st.none()),
    st.tuples(st.just("cancel"), st.none()),
    st.tuples(st.just("retry"), st.none()),
)


def step(was: Message, what: str, argument: object, now: dt.datetime, rng: random.Random) -> Change | None:
    """What the worker's steps do: each looks only at rows of the states that its query asks for."""
    match what, was.state, argument:
        case "claim", State.QUEUED, _:
            return on_claim.after_claim(was, f"token {was.attempts}{rng.random()}", "wire", now, POLICY)
        case "answer", _, (Accepted() | Refused() | Unknown() | Released() | Invalid()) as outcome:
            return on_attempt.after_attempt(was, was.token or "none", outcome, now, POLICY, rng)
        case "late answer of an earlier attempt", _, (Accepted() | Refused() | Unknown()) as outcome:
            return on_attempt.after_attempt(was, "earlier", outcome, now, POLICY, rng)
        case "lease", State.SENDING, _:
            return on_attempt.after_lease(was, now)
        case "poll", _, (MessageStatus() | PollFailed()) as seen:
            return on_status.after_poll(was, seen, now, POLICY, rng)
        case "expiry", State.QUEUED, _:
            return on_claim.after_expiry(was, now)
        case "cancel", State.QUEUED, _:
            return on_operator.cancelled(was, now)
        case "retry", State.FAILED, _:
            return on_operator.retried(was, now)
        case _:
            return None


@given(
    st.lists(st.tuples(_STEPS, st.floats(0, 90_000)), max_size=60),
    st.randoms(use_true_random=False),
    st.none() | st.just("1"),
    st.none() | st.floats(1, 200_000),
)
def test_a_random_walk_keeps_the_contracts_table_and_loses_nothing(
    walk: list[tuple[tuple[str, object], float]], rng: random.Random, rule_id: str | None, valid: float | None
) -> None:
    now = NOW
    was = message(rule_id=rule_id, expires_at=None if valid is None else NOW + seconds(valid))
    accepted = False
    for (what, argument), wait in walk:
        now += seconds(wait)
        change = step(was, what, argument, now, rng)
        if change is None:
            continue
        becomes = change.becomes
        assert change.was is was
        moved = becomes.state is not was.state
        # Within the table; a final state is left only by an operator's retry of a failed message.
        assert not moved or becomes.state in TRANSITIONS[was.state]
        assert not moved or was.state not in FINAL or (was.state, what) == (State.FAILED, "retry")
        assert not moved or change.note is not None
        # Once accepted it never goes out again.
        accepted = accepted or becomes.state is State.SENT
        assert not accepted or becomes.state not in {State.QUEUED, State.SENDING, State.UNKNOWN}
        assert not accepted or becomes.id_mensaje is not None
        # After a lost worker or an answer that proves nothing, only proof brings it back.
        if was.state is State.UNKNOWN and becomes.state is State.QUEUED:
            assert isinstance(argument, Refused | Released)
        # Statuses never go backwards.
        assert (becomes.estatus_mensaje or 0) >= (was.estatus_mensaje or 0)
        # Somebody looks at it again, unless it is final or was tracked to the end.
        if becomes.state in {State.QUEUED, State.SENDING, State.UNKNOWN, State.SENT}:
            assert becomes.due_at is not None
        if becomes.state in FINAL - {State.DELIVERED}:
            assert becomes.due_at is None
        assert (becomes.final_at is not None) == (becomes.state in FINAL)
        # A claim is whole or not there at all.
        assert (becomes.lease_until is not None) == (becomes.state is State.SENDING)
        assert becomes.state is not State.SENDING or becomes.token is not None
        assert 0 <= becomes.refusals <= MAX_REFUSALS
        assert becomes.attempts >= 0
        was = becomes
