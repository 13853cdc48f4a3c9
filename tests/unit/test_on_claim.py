"""What a claim makes of a message: an attempt on record, or its expiry."""

from __future__ import annotations

import pytest

from smsclick._values.causes import Cause
from smsclick.contract import State
from tests.factories import NOW, POLICY, message
from tests.outcomes import seconds
from worker.lifecycle import on_claim
from worker.lifecycle.model import Change

# --- The claim


def test_a_claim_puts_the_attempt_on_record_with_a_token_and_a_lease() -> None:
    change = on_claim.after_claim(message(attempts=2), "mine", "fingerprint", NOW, POLICY)
    assert change.note is not None
    assert change.note.cause is Cause.CLAIMED
    assert change.becomes == message(
        state=State.SENDING,
        token="mine",
        wire_key="fingerprint",
        attempts=3,
        attempted_at=NOW,
        lease_until=NOW + seconds(120),
        due_at=NOW + seconds(120),
    )


@pytest.mark.parametrize("ago", [0, 1, 86_400])
def test_a_message_whose_validity_is_over_expires_instead_of_being_claimed(ago: int) -> None:
    change = on_claim.after_claim(message(expires_at=NOW - seconds(ago)), "mine", "fingerprint", NOW, POLICY)
    assert (change.becomes.state, change.becomes.due_at, change.becomes.final_at) == (State.EXPIRED, None, NOW)
    assert change.becomes.attempts == 0


def test_a_message_that_is_still_valid_is_claimed() -> None:
    change = on_claim.after_claim(message(expires_at=NOW + seconds(0.001)), "mine", "fingerprint", NOW, POLICY)
    assert change.becomes.state is State.SENDING


def test_a_message_before_its_time_waits_for_it_without_an_event() -> None:
    send_at = NOW + seconds(1)
    change = on_claim.after_claim(message(send_at=send_at), "mine", "fingerprint", NOW, POLICY)
    assert change == Change(message(send_at=send_at), message(send_at=send_at, due_at=send_at), None)
