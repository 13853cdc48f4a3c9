"""Random walks through all decisions: the contract's table holds, and no message is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from smsclick.contract import State
from smsclick.provider.codes import CODES
from smsclick.provider.results import Accepted, MessageStatus, Refused, Unknown
from tests.factories import FINAL_STATES, NOW, POLICY, message
from tests.outcomes import UNREACHABLE, refused, seconds, status
from worker.lifecycle import on_attempt, on_claim, on_operator, on_status
from worker.lifecycle.model import TRANSITIONS, Change, Message
from worker.lifecycle.on_attempt import MAX_REFUSALS
from worker.lifecycle.on_status import PollFailed
from worker.lifecycle.policy import Invalid, OptedOut, Released

if TYPE_CHECKING:
    import datetime as dt
    import random

# --- Random walks

_OUTCOMES = st.one_of(
    st.builds(Accepted, st.integers(1, 2**63 - 1), st.none() | st.integers(0, 9), st.just("ok")),
    st.sampled_from([row.code for row in CODES if row.code != 1] + [-999, 0, 2]).map(refused),
    st.just(UNREACHABLE),
    st.builds(Unknown, st.just("reset"), st.none() | st.integers(-105, 1)),
    st.just(Released()),
    st.just(Invalid("empty")),
    st.just(OptedOut()),
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
            return on_claim.after_claim(was, f"token {was.attempts}{rng.random()}", "fingerprint", now, POLICY)
        case "answer", _, (Accepted() | Refused() | Unknown() | Released() | Invalid() | OptedOut()) as outcome:
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
            return on_operator.cancelled(was, now, "ana")
        case "retry", State.FAILED, _:
            return on_operator.retried(was, now, "ana")
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
        assert not moved or was.state not in FINAL_STATES or (was.state, what) == (State.FAILED, "retry")
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
        if becomes.state in FINAL_STATES - {State.DELIVERED}:
            assert becomes.due_at is None
        assert (becomes.final_at is not None) == (becomes.state in FINAL_STATES)
        # A claim is whole or not there at all.
        assert (becomes.lease_until is not None) == (becomes.state is State.SENDING)
        assert becomes.state is not State.SENDING or becomes.token is not None
        assert 0 <= becomes.refusals <= MAX_REFUSALS
        assert becomes.attempts >= 0
        was = becomes
