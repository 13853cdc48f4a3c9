"""What an operator's cancel and retry make of a message."""

from __future__ import annotations

from smsclick.contract import State
from tests.factories import NOW, message
from worker.lifecycle import on_operator
from worker.lifecycle.on_attempt import MAX_REFUSALS

# --- The operator's hand


def test_a_cancelled_message_is_final() -> None:
    becomes = on_operator.cancelled(message(), NOW, "ana").becomes
    assert (becomes.state, becomes.due_at, becomes.final_at) == (State.CANCELLED, None, NOW)


def test_a_retried_message_resets_its_refusals_and_keeps_the_token_for_a_late_answer() -> None:
    was = message(state=State.FAILED, due_at=None, final_at=NOW, refusals=MAX_REFUSALS, attempts=8, token="old")
    becomes = on_operator.retried(was, NOW, "ana").becomes
    assert (becomes.state, becomes.due_at, becomes.final_at) == (State.QUEUED, NOW, None)
    assert (becomes.refusals, becomes.attempts, becomes.token) == (0, 8, "old")
