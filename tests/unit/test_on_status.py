"""What a status check makes of a message: its final state, its reply, and when to check again."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from smsclick._values.causes import Cause
from smsclick.contract import State
from tests.factories import NOW, POLICY, sent
from tests.outcomes import RNG, seconds, status
from worker.lifecycle import on_status
from worker.lifecycle.on_status import PollFailed

if TYPE_CHECKING:
    import datetime as dt

    from smsclick.provider.results import MessageStatus
    from worker.lifecycle.model import Change, Message


def poll(was: Message, seen: MessageStatus | PollFailed, now: dt.datetime = NOW) -> Change:
    change = on_status.after_poll(was, seen, now, POLICY, RNG)
    assert change is not None
    return change


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


def test_an_undetermined_message_is_polled_rarely_and_not_forever() -> None:
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
    # The schedule begins again: a reply often comes at once.
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
