"""Verdicts: what a report that proves absence says, and the time for which it says it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from smsclick.provider.codes import Estatus
from smsclick.provider.results import ReportRow
from tests.factories import NOW, PHONE
from worker.lifecycle.on_report import NotFound
from worker.reconciliation.absence_proof import Reading
from worker.reconciliation.control_rows import Control
from worker.reconciliation.unknown_attempt import UnknownAttempt
from worker.reconciliation.verdict import Facts, Lookup, judge
from worker.reports.matching import Attempt

if TYPE_CHECKING:
    from worker.account.books import Books

MINUTE = dt.timedelta(minutes=1)
SETTLE = 10 * MINUTE
ATTEMPT = UnknownAttempt(Attempt(1, PHONE, "the attempt", NOW, NOW + MINUTE), "token", "account")


def unasked() -> Books:
    raise AssertionError("control rows are enough")


def reading(read_at: dt.datetime) -> Reading:
    """A whole report with control rows before and behind the attempt, without the attempt."""
    times = [NOW - 3 * MINUTE, NOW - 2 * MINUTE, NOW + 3 * MINUTE]
    controls = [Control(each, PHONE, f"text {each}", at, at) for each, at in enumerate(times, 1)]
    found = Reading(["5551402211"], controls, read_at)
    for each in controls:
        row = ReportRow(each.id_mensaje, PHONE, each.text, each.since, Estatus.RECIBIDO, None, None, None, None)
        found.add(row)
    return found


@pytest.mark.parametrize("set_back", [dt.timedelta(0), 5 * MINUTE])
def test_absence_is_proven_for_the_earlier_of_two_times_where_the_clock_was_set_back(set_back: dt.timedelta) -> None:
    read_at = NOW + 30 * MINUTE
    facts = Facts(read_at - set_back, set(), report_lags=False, clock_trusted_since=None, books=unasked)
    verdicts = judge(Lookup([ATTEMPT], reading(read_at), None), facts, SETTLE)
    assert verdicts == {1: NotFound(read_at - set_back, None)}


def test_a_report_that_took_its_time_proves_absence_for_when_it_was_asked_for() -> None:
    read_at = NOW + 30 * MINUTE
    facts = Facts(read_at + MINUTE, set(), report_lags=False, clock_trusted_since=None, books=unasked)
    assert judge(Lookup([ATTEMPT], reading(read_at), None), facts, SETTLE) == {1: NotFound(read_at, None)}
