"""What a report's silence about a message means for its own check."""

from __future__ import annotations

import datetime as dt
import random

import pytest

from smsclick.contract import State
from tests.factories import NOW, POLICY, sent
from worker.lifecycle.on_status import NotShown, after_poll, horizon

DAY = dt.timedelta(days=1)


def test_its_own_check_comes_after_the_next_report_at_the_earliest() -> None:
    for seconds in (1, 59, 600, 86_400):
        age = dt.timedelta(seconds=seconds)
        change = after_poll(sent(sent_at=NOW - age), NotShown(40), NOW, POLICY, random.Random(1))
        assert change is not None
        assert (change.becomes.state, change.becomes.polls, change.note) == (State.SENT, 1, None)
        assert change.becomes.due_at is not None
        assert change.becomes.due_at > NOW + dt.timedelta(seconds=horizon(40, age))


def test_it_never_comes_after_the_end_of_the_tracking() -> None:
    message = sent(sent_at=NOW - 6.9 * DAY)
    change = after_poll(message, NotShown(10), NOW, POLICY, random.Random(1))
    assert change is not None
    assert change.becomes.due_at == NOW + 0.1 * DAY


@pytest.mark.parametrize(
    "message",
    [
        sent(sent_at=NOW - 7 * DAY),
        sent(state=State.DELIVERED, rule_id="1", final_at=NOW),
        sent(state=State.REJECTED, final_at=NOW),
    ],
)
def test_where_silence_means_nothing_nothing_changes(message: object) -> None:
    assert after_poll(message, NotShown(10), NOW, POLICY, random.Random(1)) is None  # type: ignore[arg-type]


def test_an_undetermined_message_stays_so() -> None:
    message = sent(state=State.UNDETERMINED, sent_at=NOW - 8 * DAY)
    change = after_poll(message, NotShown(10), NOW, POLICY, random.Random(1))
    assert change is not None
    assert change.becomes.state is State.UNDETERMINED
    assert change.becomes.due_at is not None
    assert change.becomes.due_at >= NOW + DAY
