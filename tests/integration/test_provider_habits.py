"""Absence must be earned: with each habit of a provider, 300 messages and five lost answers in a hundred.

Nothing is sent twice, no state contradicts the provider's ledger contradicts, and what cannot be decided is named in
an alert with its reason. The same under the old rule (`tests.old_reconciler`) sends twice, so each of these tests can
fail.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
import re
from typing import TYPE_CHECKING, Any, Literal

import pytest

from smsclick.contract import State
from smsclick.simulator import Fault, FaultKind
from tests.old_reconciler import take_silence_for_absence
from tests.timelapse import BEGIN, Timelapse, timelapse

if TYPE_CHECKING:
    from collections.abc import Mapping

MESSAGES = 300
LOST = (
    Fault(FaultKind.HTTP_500_AFTER, rate=0.03, seed=1),
    Fault(FaultKind.RESET_AFTER, rate=0.02, seed=2),
    Fault(FaultKind.RESET_BEFORE, rate=0.02, seed=3),
)
"""Five answers in a hundred are lost after the message was accepted, two before."""
LATE = (Fault(FaultKind.LATE_ACCEPTANCE, rate=0.05, seconds=100, jitter=400, seed=4),)
OTHER_KEY = "key-of-another-account"


@dataclasses.dataclass(frozen=True)
class Habit:
    """What a provider does, and what must come of it.

    Attributes:
        settings: of the simulator.
        faults: at sendMsg while the messages go out.
        every: seconds between two messages.
        variables: of the worker's settings.
        begin: when it begins.
        minutes: how long it goes on after that, with a message a minute.
        new_key: whether the worker gets another key before any report is read.
        same_account: whether that key is one of the same account.
        reason: the alert's reason for what stays unknown, as a pattern; None: everything is reconciled.
        all_found: whether every message that was accepted is found.
        old_rule: what the rule that takes silence for absence does here: it sends twice, or finds nothing at all.
            None: no harm.
    """

    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    faults: tuple[Fault, ...] = LOST
    every: float = 1
    variables: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    begin: dt.datetime = BEGIN
    minutes: int = 26
    new_key: bool = False
    same_account: bool = False
    reason: str | None = None
    all_found: bool = True
    old_rule: Literal["twice", "blind"] | None = None


TIJUANA = "America/Tijuana"
HABITS = {
    "none": Habit(),
    "a prefix": Habit({"text_prefix": "ACME: "}, old_rule="twice"),
    "a prefix and a suffix": Habit({"text_prefix": "ACME ", "text_suffix": " -ACME"}),
    "masked phones": Habit({"phone_mask": 6}, reason="phones are masked", all_found=False, old_rule="twice"),
    "late acceptance": Habit(faults=LATE, minutes=40, old_rule="twice"),
    "a cap, newest first": Habit({"report_cap": 20}, reason="lacks", all_found=False, old_rule="twice"),
    "a cap, oldest first": Habit({"report_cap": 20, "report_cap_first": "oldest"}, reason="lacks", all_found=False),
    "a cap in low traffic": Habit({"report_cap": 3}, every=30, reason="lacks", all_found=False),
    "a report that lags": Habit({"report_lag": 900}, reason="lacks|report_lag", old_rule="twice"),
    "a report that lags for some": Habit({"report_lag": 30, "report_lag_spread": 900}, reason="lacks|report_lag"),
    "an hour to the east": Habit({"date_shift": 3600}, reason="dates are", all_found=False, old_rule="twice"),
    "another account": Habit(
        {"other_keys": [OTHER_KEY]}, new_key=True, reason="APIKEY has changed", all_found=False, old_rule="twice"
    ),
    "another key of the account": Habit(new_key=True, same_account=True),
    "odd rows of others": Habit(
        {"odd_rows": ["estatus", "null_text", "null_phone", "bad_date", "null_date", "decimal_id", "panel"]},
        reason="cannot be read",
        old_rule="blind",
    ),
    "odd rows of other phones": Habit(
        {"odd_rows": ["estatus", "null_text", "bad_date", "null_date", "decimal_id"]}, old_rule="blind"
    ),
    "good rows of others": Habit({"odd_rows": ["panel"]}),
    "our estatus is odd": Habit({"odd_form": "estatus"}, old_rule="blind"),
    "our texts are null": Habit({"odd_form": "null_text"}, reason="cannot be read", all_found=False),
    "some of our dates cannot be read": Habit(
        {"odd_form": "bad_date", "odd_rate": 0.3}, reason="cannot be read", all_found=False
    ),
    "rows are left out": Habit({"omit_rate": 0.05}, reason="lacks", all_found=False),
    "an hour that the clocks show twice": Habit(
        {"timezone": TIJUANA},
        variables={"SMSCLICK_TIMEZONE": TIJUANA},
        begin=dt.datetime(2026, 11, 1, 9, 10, tzinfo=dt.UTC),
        minutes=60,
        reason="could be it, but not for sure",
        all_found=False,
        old_rule="twice",
    ),
}


def run(timelapse: Timelapse, habit: Habit, count: int = MESSAGES) -> None:
    """The messages go out, some answers are lost; then some time with a message a minute."""
    simulator = timelapse.simulator
    simulator.faults(habit.faults)
    timelapse.enqueue([content(number) for number in range(count)], every=habit.every)
    tick = math.inf if habit.new_key else max(60, 5 * habit.every)
    timelapse.live(count * habit.every, send_every=5 * habit.every, tick_every=tick)
    simulator.faults()
    if habit.same_account:
        simulator.set(api_key=OTHER_KEY)
    if habit.new_key:
        timelapse.restart(**habit.variables, SMSCLICK_API_KEY=OTHER_KEY)
    timelapse.enqueue([content(count + number) for number in range(habit.minutes)], every=60)
    timelapse.live(habit.minutes * 60, send_every=60, tick_every=60)


def content(number: int) -> dict[str, object]:
    absent = "fail" if number % 10 == 0 else "resend"
    return {
        "key": f"message-{number}",
        "phone": f"55{10_000_000 + number % 97}",
        "text": f"Su pedido {number} va en camino",
        "if_absent": absent,
    }


@pytest.mark.parametrize("name", HABITS)
def test_nothing_is_sent_twice_or_reported_wrong_whatever_the_report_looks_like(
    name: str, migrated_sqlite_url: str
) -> None:
    habit = HABITS[name]
    with timelapse(migrated_sqlite_url, begin=habit.begin, **habit.settings, **habit.variables) as running:
        run(running, habit)
        outcome = running.outcome()
        assert (outcome.sent_twice, outcome.contradicted, outcome.lost) == ([], [], [])
        assert outcome.found + outcome.absent + len(outcome.unknown) > 10, "hardly an answer was lost"
        if habit.all_found:
            accepted = {entry.text for entry in running.simulator.ledger()}
            assert [row.id for row in running.rows(State.UNKNOWN) if row.text in accepted] == []
        if habit.reason is None:
            assert outcome.unknown == []
            assert running.open_incidents() == {}
        else:
            assert outcome.unknown != []
            reasons = [line for line in running.alerts() if line.startswith("old_unknown ")]
            assert re.search(habit.reason, "\n".join(reasons))


@pytest.mark.parametrize("name", [name for name, habit in HABITS.items() if habit.old_rule])
def test_the_rule_that_takes_silence_for_absence_fails(name: str, migrated_sqlite_url: str) -> None:
    habit = HABITS[name]
    with timelapse(migrated_sqlite_url, begin=habit.begin, **habit.settings, **habit.variables) as running:
        running.reconcile = take_silence_for_absence
        run(running, habit, MESSAGES // 2)
        outcome = running.outcome()
        if habit.old_rule == "twice":
            assert outcome.sent_twice != []
        else:
            assert (outcome.found, outcome.absent) == (0, 0)
