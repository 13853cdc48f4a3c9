"""The report's lag: measured one message at a time, for a bounded time; an incident says why one does not show."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from smsclick.contract import heartbeats, incidents
from smsclick.simulator import Fault, FaultKind
from tests.integration.workbench import SETTLE_SECONDS, Bench, bench
from worker.reconciliation import report_lag

if TYPE_CHECKING:
    from collections.abc import Iterator

OMITTED = "5551402299"


@pytest.fixture
def made(migrated_sqlite_url: str) -> Iterator[Bench]:
    with bench(migrated_sqlite_url) as running:
        yield running


def later(made: Bench, seconds: float) -> None:
    """Time passes, and the next measurement is due."""
    since = made.account_state().lag_since
    made.age(seconds)
    if since is not None:
        made.change_account(lag_since=since - dt.timedelta(seconds=seconds))
    with made.database.begin() as connection:
        last = connection.scalar(sa.select(incidents.c.last_at).where(incidents.c.open_key == "report_lag:"))
        if last is not None:
            connection.execute(sa.update(incidents).values(last_at=last - dt.timedelta(seconds=seconds)))
    due_now(made)


def due_now(made: Bench) -> None:
    with made.database.begin() as connection:
        connection.execute(sa.delete(heartbeats))


def test_the_reports_lag_is_measured(made: Bench) -> None:
    made.send(made.enqueue())
    measured = report_lag.measure(made.runtime)
    assert measured is not None
    assert 0 <= measured < SETTLE_SECONDS
    assert made.account_state().report_lag == measured


def test_a_lag_near_the_settle_window_opens_an_incident_that_ends_when_none_was_late_for_as_long(made: Bench) -> None:
    made.simulator.set(report_lag=3600)
    made.send(made.enqueue())
    assert report_lag.measure(made.runtime) is None
    assert made.alert_events() == []
    later(made, SETTLE_SECONDS * 0.5 + 1)
    assert report_lag.measure(made.runtime) is None
    assert made.alert_events() == [("report_lag", "opened")]
    assert "set SMSCLICK_SETTLE_SECONDS well above the lag" in made.details()[0]
    made.simulator.set(report_lag=0)
    assert report_lag.measure(made.runtime) is not None
    made.send(made.enqueue())
    due_now(made)
    assert report_lag.measure(made.runtime) is not None
    assert made.alert_events() == [("report_lag", "opened")]
    later(made, SETTLE_SECONDS + 1)
    made.send(made.enqueue())
    assert report_lag.measure(made.runtime) is not None
    assert made.alert_events() == [("report_lag", "opened"), ("report_lag", "closed")]


def test_a_message_that_nobody_could_look_for_earlier_is_not_late(made: Bench) -> None:
    made.send(made.enqueue())
    made.simulator.faults([Fault(kind=FaultKind.HTTP_500_BEFORE, endpoints=("report",), count=1)])
    assert report_lag.measure(made.runtime) is None
    later(made, SETTLE_SECONDS * 0.5 + 1)
    assert report_lag.measure(made.runtime) is not None
    assert made.alert_events() == []


def test_a_provider_whose_clock_is_a_little_off_does_not_look_like_a_report_that_lags(made: Bench) -> None:
    made.simulator.set(report_lag=3600)
    made.send(made.enqueue())
    assert report_lag.measure(made.runtime) is None
    made.simulator.set(report_lag=0)
    since = made.account_state().lag_since
    assert since is not None
    made.change_account(lag_since=since - dt.timedelta(seconds=25))  # by which its date is later than ours
    assert report_lag.measure(made.runtime) is not None
    assert made.alert_events() == []


def test_a_message_that_never_shows_is_given_up_and_the_next_one_is_measured(made: Bench) -> None:
    made.simulator.set(omit_suffixes=[OMITTED[-2:]])
    made.send(made.enqueue(phone=OMITTED))
    for _ in range(3):
        assert report_lag.measure(made.runtime) is None
        later(made, SETTLE_SECONDS * report_lag.GIVE_UP_AFTER_WINDOWS / 2)
    assert report_lag.measure(made.runtime) is None
    assert made.account_state().lag_id is None
    assert made.alert_events() == [("report_lag", "opened")]
    made.send(made.enqueue())
    due_now(made)
    assert report_lag.measure(made.runtime) is not None


def test_one_that_is_left_out_among_others_is_not_reported_as_a_lag(made: Bench) -> None:
    made.simulator.set(omit_suffixes=[OMITTED[-2:]])
    made.send(made.enqueue(2))
    made.send(made.enqueue(phone=OMITTED))
    report_lag.measure(made.runtime)
    later(made, SETTLE_SECONDS * 0.5 + 1)
    report_lag.measure(made.runtime)
    [detail] = made.details()
    assert "the report has others of the same time and lacks this one" in detail
    assert "SETTLE" not in detail


@pytest.mark.parametrize(("zone", "way"), [("America/Cancun", "ahead of"), ("America/Tijuana", "behind")])
def test_a_zone_that_is_hours_off_is_reported_as_that_and_not_as_a_lag(made: Bench, zone: str, way: str) -> None:
    made.simulator.set(timezone=ZoneInfo(zone).key)
    made.send(made.enqueue())
    report_lag.measure(made.runtime)
    later(made, SETTLE_SECONDS * 0.5 + 1)
    report_lag.measure(made.runtime)
    [detail] = made.details()
    assert f"s {way} ours; check SMSCLICK_TIMEZONE" in detail
    assert "SETTLE" not in detail
