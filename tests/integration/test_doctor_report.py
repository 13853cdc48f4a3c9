"""Doctor tries the report on messages of known id: whether it can prove absence, and whether the zone is right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from smsclick.simulator import Fault, FaultKind
from tests.integration.workbench import SETTLE_SECONDS, Bench, bench
from worker.operator.doctor import checkup, report
from worker.operator.doctor.check import Verdict
from worker.reconciliation.absence_proof import LEAST_CONTROL_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.operator.doctor.check import Check


@pytest.fixture
def made(migrated_sqlite_url: str) -> Iterator[Bench]:
    with bench(migrated_sqlite_url) as running:
        yield running


def tried(made: Bench) -> Check:
    made.witness(LEAST_CONTROL_ROWS)
    made.age(SETTLE_SECONDS + 1)
    return report.check(made.runtime.settings)


HABITS: dict[str, tuple[dict[str, Any], Verdict, str]] = {
    "good": ({}, Verdict.OK, "it has 3 of 3 messages of known id as expected: it can prove"),
    "a prefix": ({"text_prefix": "ACME: "}, Verdict.OK, "all with the same words around their text"),
    "masked phones": ({"phone_mask": 6}, Verdict.WARNING, "phones are masked"),
    "left out": ({"omit_rate": 0.999}, Verdict.WARNING, "lacks messages that were accepted"),
    "a cap": ({"report_cap": 2}, Verdict.WARNING, "lacks messages that were accepted"),
    "a zone to the east": ({"timezone": "America/Cancun"}, Verdict.FAILED, "dates are 1 h ahead of ours"),
    "a zone to the west": ({"timezone": "America/Hermosillo"}, Verdict.FAILED, "dates are 1 h behind ours"),
    "odd dates": ({"odd_form": "bad_date"}, Verdict.WARNING, "rows that cannot be read"),
}


@pytest.mark.parametrize("habit", HABITS)
def test_doctor_says_what_this_accounts_reports_are_worth(habit: str, made: Bench) -> None:
    settings, verdict, found = HABITS[habit]
    made.simulator.set(**settings)
    check = tried(made)
    assert (check.verdict, found in check.found) == (verdict, True), check
    assert (check.todo == "") == (verdict is Verdict.OK)
    if verdict is Verdict.FAILED:
        assert "SMSCLICK_TIMEZONE" in check.todo


def test_a_message_that_is_not_in_the_report_yet_is_not_reported_as_missing(made: Bench) -> None:
    made.simulator.set(report_lag=3600)
    made.witness(LEAST_CONTROL_ROWS)
    check = report.check(made.runtime.settings)
    assert (check.verdict, check.found) == (Verdict.WARNING, "3 of 3 messages of known id are not in the report yet")


def test_without_messages_nothing_is_tried(made: Bench) -> None:
    assert report.check(made.runtime.settings).verdict is Verdict.SKIPPED


def test_a_failing_report_fails_the_check(made: Bench) -> None:
    made.simulator.faults([Fault(FaultKind.HTTP_500_BEFORE, endpoints=("report",))])
    assert tried(made).verdict is Verdict.FAILED


def test_it_is_one_of_doctors_checks(made: Bench) -> None:
    made.witness(LEAST_CONTROL_ROWS)
    checks = {check.name: check for check in checkup.examine(load=lambda: made.runtime.settings)}
    assert checks["report"].verdict is Verdict.OK
