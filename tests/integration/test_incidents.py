"""Each kind of incident, provoked for real: one alert, its reminder and its end, in Spanish and in English.

How each comes about and ends is a line of `tests.incident_stories.STORIES`.
"""

from __future__ import annotations

import datetime as dt
import random
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from smsclick.contract import alerts, incidents
from tests.factories import LONG_AGO
from tests.incident_stories import STORIES, Life, alert_times
from tests.integration.test_alerts import Receiver, receiving
from tests.timelapse import timelapse
from worker.account import account_state, usage
from worker.alerting import delivery
from worker.alerting.catalogues import catalogue
from worker.alerting.details import shown
from worker.alerting.kinds import KINDS, Severity
from worker.alerting.texts import Style
from worker.maintenance import balance

if TYPE_CHECKING:
    from smsclick._database.engine import Database

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

_LANGUAGES = {"es": ("", "sigue: ", "terminó: "), "en": ("", "still: ", "over: ")}
_TYPES = {Severity.CRITICAL: "failure", Severity.WARNING: "warning", Severity.INFO: "info"}


def deliver(database: Database, receivers: dict[str, Receiver]) -> None:
    """Deliver what is due in each language, as an installation of that language would."""
    with database.read() as connection:
        due = list(connection.scalars(sa.select(alerts.c.id).where(alerts.c.due_at.is_not(None))))
    for language, receiver in receivers.items():
        with database.begin() as connection:
            again = {"due_at": LONG_AGO, "delivered_at": None, "delivered_to": "", "claimed_until": None}
            connection.execute(sa.update(alerts).where(alerts.c.id.in_(due)).values(**again))
        channels = delivery.channels(receiver.url)
        delivery.deliver(database, channels, random.Random(0), Style("tienda", language))


def test_each_kind_has_a_story() -> None:
    assert STORIES.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", sorted(STORIES))
def test_it_yields_one_alert_its_reminder_and_its_end_in_both_languages(migrated_sqlite_url: str, kind: str) -> None:
    story = STORIES[kind]
    with timelapse(migrated_sqlite_url, **story.settings) as lapse, receiving() as spanish, receiving() as english:
        receivers = {"es": spanish, "en": english}
        for _ in alert_times(Life(lapse), kind, story):
            deliver(lapse.database, receivers)
        with lapse.database.read() as connection:
            stored = set(connection.scalars(sa.select(incidents.c.detail).where(incidents.c.kind == kind)))
    assert all(not detail or detail.startswith('{"is":') for detail in stored), "a sentence is stored"
    for language, receiver in receivers.items():
        text = catalogue(language).kinds[kind]
        titles = [f"SMSClick tienda: {event}{text.title}" for event in _LANGUAGES[language]]
        calls = [call for call in receiver.calls if call["incident"] == kind]
        assert [call["title"] for call in calls] == titles
        assert [call["event"] for call in calls] == ["opened", "reminder", "closed"]
        assert [call["type"] for call in calls] == [_TYPES[KINDS[kind].severity]] * 2 + ["success"]
        assert len({call["incident_id"] for call in calls}) == 1
        assert {call["detail"] for call in calls} >= {shown(detail, language) for detail in stored}
        for each in (text.meaning, text.touches, text.advice, f"runbook.md#{kind}"):
            assert each in calls[0]["message"]
            assert each in calls[1]["message"]


def test_the_forecast_is_within_a_fifth_of_the_true_time_to_empty(migrated_sqlite_url: str) -> None:
    with timelapse(migrated_sqlite_url, balance=600) as lapse:
        life = Life(lapse)
        life.minutes(45, 5)
        balance.check(lapse.runtime)
        with lapse.database.read() as connection:
            found = usage.present_forecast(connection, account_state.read(connection))
        assert found is not None
        assert found.seconds_left is not None
        at = lapse.clock.read()
        while not lapse.open_incidents().get("no_balance"):
            life.minutes(5, 5)
            assert lapse.clock.read() - at < dt.timedelta(hours=3)
        true_seconds = (lapse.clock.read() - at).total_seconds()
        assert found.seconds_left == pytest.approx(true_seconds, rel=0.2)
