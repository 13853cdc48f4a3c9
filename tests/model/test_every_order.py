"""The exhaustive part: no order of events breaks the promise, and each rule that is broken breaks it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from smsclick.contract import IfAbsent, State
from tests.model.exhaustive import NOW, SETTLE, UNIT, Habit, Rules, explore
from worker.lifecycle import on_attempt
from worker.lifecycle.doubt import Doubt
from worker.lifecycle.model import Change

if TYPE_CHECKING:
    import datetime as dt

    from worker.lifecycle.model import Message


def resent_at_once(message: Message, now: dt.datetime) -> Change:
    """What most queues do with a lost worker's message."""
    change = on_attempt.after_lease(message, now)
    becomes = dataclasses.replace(message, state=State.QUEUED, token=None, lease_until=None, due_at=now)
    return Change(change.was, becomes, change.note)


def counted_from_the_claim(message: Message, now: dt.datetime) -> Change:
    """SETTLE begins when the attempt began, although its request may have left later."""
    change = on_attempt.after_lease(message, now)
    began = (message.lease_until or NOW) - 2 * UNIT
    return Change(change.was, dataclasses.replace(change.becomes, unknown_since=began), change.note)


@pytest.mark.parametrize("if_absent", list(IfAbsent))
def test_no_order_of_events_sends_a_message_twice_reports_it_wrong_or_leaves_it_stuck(if_absent: IfAbsent) -> None:
    seen = explore(if_absent)
    assert seen.broken is None
    assert seen.stuck == 0
    # The search covers everything: about 30,000 states, and a million orders of twelve steps alone.
    assert seen.states > 20_000
    assert seen.orders[-1] > 1_000_000


@pytest.mark.parametrize(
    "rules",
    [
        Rules(shown_within=SETTLE + 1),
        Rules(leaves_late=True),
        Rules(after_lease=resent_at_once),
        Rules(after_lease=counted_from_the_claim),
        Rules(settle_window=0),
        Rules(judged_by_reading=False),
    ],
    ids=[
        "the report is later than SETTLE",
        "a request leaves after its claim is over",
        "a lost claim is queued again",
        "SETTLE is counted from the claim",
        "the report is trusted at once",
        "absence is judged by an old report",
    ],
)
def test_the_search_finds_the_shortest_way_to_a_broken_promise_where_a_rule_is_broken(
    rules: Rules,
) -> None:
    seen = explore(IfAbsent.RESEND, rules)
    assert seen.broken is not None
    assert seen.broken[-1] == "queued although accepted"
    assert "the provider accepts" in seen.broken


@pytest.mark.parametrize("habit", list(Habit), ids=lambda habit: habit.name.lower())
def test_no_order_of_events_sends_twice_whatever_the_report_looks_like(habit: Habit) -> None:
    seen = explore(IfAbsent.RESEND, Rules(habit=habit), length=1)
    assert seen.broken is None
    assert seen.states > 4_000
    # A message that a report hides forever stays unknown, for a person; one that it shows always ends.
    assert (seen.stuck == 0) is (habit is Habit.GOOD)


@pytest.mark.parametrize("habit", [Habit.GOOD, Habit.MASKED], ids=lambda habit: habit.name.lower())
def test_without_control_rows_before_the_attempt_nothing_is_absent(habit: Habit) -> None:
    seen = explore(IfAbsent.RESEND, Rules(habit=habit, controls_before=False), length=1)
    assert seen.broken is None
    assert seen.stuck > 0


MISSING = {Doubt.MISSING, Doubt.NOT_YET}
PRODUCTS_THAT_IGNORE_A_DOUBT = {
    "masked phones": Rules(habit=Habit.MASKED, ignores=frozenset({Doubt.PHONES})),
    "texts in another form": Rules(habit=Habit.TEXTS, ignores=frozenset({Doubt.TEXTS})),
    "shifted dates": Rules(habit=Habit.SHIFTED, ignores=frozenset({Doubt.DATES})),
    "missing control rows before": Rules(habit=Habit.NEWEST, ignores=frozenset(MISSING)),
    "missing control rows after": Rules(habit=Habit.OLDEST, ignores=frozenset(MISSING)),
    "no control rows after": Rules(habit=Habit.OLDEST, ignores=frozenset({Doubt.NO_CONTROLS})),
    "no control rows at all": Rules(habit=Habit.MASKED, controls_before=False, ignores=frozenset({Doubt.NO_CONTROLS})),
    "a report that lags": Rules(habit=Habit.LAGS, ignores=frozenset(MISSING)),
    "the incident report_lag": Rules(habit=Habit.LAGS_FOR_SOME, ignores=frozenset({Doubt.LAG})),
    "rows that cannot be read": Rules(habit=Habit.ODD, ignores=frozenset({Doubt.ODD})),
    "another account": Rules(habit=Habit.ACCOUNT, ignores=frozenset({Doubt.ACCOUNT})),
    "a report of the attempt's time only": Rules(habit=Habit.GOOD, spans_to_now=False),
}


@pytest.mark.parametrize("rules", PRODUCTS_THAT_IGNORE_A_DOUBT.values(), ids=PRODUCTS_THAT_IGNORE_A_DOUBT)
def test_each_doubt_that_is_left_out_sends_twice(rules: Rules) -> None:
    seen = explore(IfAbsent.RESEND, rules, length=1)
    assert seen.broken is not None
    assert seen.broken[-1] == "queued although accepted"
