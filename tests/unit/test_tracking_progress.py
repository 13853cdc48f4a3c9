"""How far the reports of a bracket came: the probe is judged by a report of its own time, and by no other."""

from __future__ import annotations

import datetime as dt

import pytest

from smsclick.contract import State
from smsclick.provider.codes import Estatus
from smsclick.provider.results import MessageStatus
from tests.factories import NOW
from worker.reports.windows import Bracket, ReportSlice
from worker.tracking.progress import FinalStatuses, Progress
from worker.tracking.tracked import Followed

MINUTE = dt.timedelta(minutes=1)
BRACKET = Bracket("young", State.SENT, 0, 60, dt.timedelta(seconds=10))
SPAN = ReportSlice(NOW, NOW + MINUTE, 10)
RECEIVED = MessageStatus(Estatus.RECIBIDO, None, None, None, None, None, "")


def after(sent_at: dt.datetime, *, shown: bool = False, complete: bool = True) -> tuple[bool, bool]:
    """Whether reports are untrusted, and whether the probe is still to be shown, after one report."""
    probe = Followed(1, 7, sent_at, None)
    report = FinalStatuses({7: RECEIVED} if shown else {}, 100, complete)
    found = Progress(None, None, probe).after(report, SPAN, BRACKET)
    assert (found.cursor == SPAN.last) == (complete and not found.untrusted)
    return found.untrusted, found.probe is probe


@pytest.mark.parametrize("sent_at", [SPAN.first, SPAN.first + MINUTE / 2, SPAN.last])
def test_a_whole_report_of_its_time_must_show_the_probe(sent_at: dt.datetime) -> None:
    assert after(sent_at) == (True, False)
    assert after(sent_at, shown=True) == (False, False)


@pytest.mark.parametrize("sent_at", [SPAN.first - dt.timedelta.resolution, SPAN.last + dt.timedelta.resolution])
def test_a_report_of_another_time_says_nothing_of_the_probe(sent_at: dt.datetime) -> None:
    assert after(sent_at) == (False, True)


def test_a_report_that_breaks_off_says_nothing_of_the_probe() -> None:
    assert after(SPAN.first, complete=False) == (False, True)
