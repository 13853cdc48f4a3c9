"""What changes of messages add to the counters."""

from __future__ import annotations

import datetime as dt

from smsclick._values.causes import Cause
from smsclick.contract import State
from tests.factories import message, sent
from worker.lifecycle import tallied
from worker.lifecycle.model import Change, Note, replace
from worker.metrics import histograms

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def test_credits_count_once_although_later_changes_carry_them() -> None:
    was = message(state=State.SENDING)
    accepted = replace(was, state=State.SENT, credits_used=3, sent_at=NOW)
    delivered = replace(accepted, state=State.DELIVERED, final_at=NOW + dt.timedelta(seconds=40))
    found = tallied.of(
        [
            Change(was, accepted, Note(Cause.ANSWERED, 1)),
            Change(accepted, delivered, Note(Cause.STATUS_CHECKED)),
        ]
    )
    assert found == {
        ("events", "sending sent answered"): 1,
        ("credits", ""): 3,
        ("events", "sent delivered status_checked"): 1,
        ("final_seconds", "delivered 60.0"): 1,
        ("final_seconds", "delivered sum"): 40 * histograms.MICROSECONDS,
    }


def test_a_message_found_in_the_report_has_no_price() -> None:
    was = message(state=State.UNKNOWN)
    found = tallied.of([Change(was, replace(was, state=State.SENT), Note(Cause.FOUND_IN_REPORT, 1))])
    assert found == {("events", "unknown sent found_in_report"): 1, ("unpriced", ""): 1}


def test_an_event_without_a_change_of_state_ends_nothing() -> None:
    was = sent(state=State.DELIVERED, final_at=NOW)
    found = tallied.of([Change(was, replace(was, reply="sí"), Note(Cause.REPLIED))])
    assert found == {("events", "delivered delivered replied"): 1}


def test_a_change_without_an_event_adds_nothing() -> None:
    was = sent()
    assert not tallied.of([Change(was, replace(was, polls=3), None)])
