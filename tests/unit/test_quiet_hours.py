"""Quiet hours by the recipient's clock, area codes and their zones, and whose turn it is."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import Counter
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsclick._values.causes import Cause
from smsclick._values.quiet_hours import QuietHours
from smsclick._values.zones import zones_of
from smsclick.contract import Priority, State
from tests.factories import POLICY, message
from worker.lifecycle import on_claim
from worker.lifecycle import policy as policy_of_lifecycle

MEXICO, TIJUANA, JUAREZ = (ZoneInfo(f"America/{name}") for name in ("Mexico_City", "Tijuana", "Ciudad_Juarez"))
NIGHT, SIESTA = QuietHours.parse("22:00-08:00"), QuietHours.parse("14:00-16:30")


def at(text: str, zone: ZoneInfo = MEXICO) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(dt.UTC)


@pytest.mark.parametrize(
    ("hours", "now", "end"),
    [
        (NIGHT, "2026-05-04T21:59:59", None),
        (NIGHT, "2026-05-04T22:00", "2026-05-05T08:00"),
        (NIGHT, "2026-05-05T00:00", "2026-05-05T08:00"),
        (NIGHT, "2026-05-05T07:59:59", "2026-05-05T08:00"),
        (NIGHT, "2026-05-05T08:00", None),
        (NIGHT, "2026-12-31T23:00", "2027-01-01T08:00"),
        (SIESTA, "2026-05-04T13:59", None),
        (SIESTA, "2026-05-04T14:00", "2026-05-04T16:30"),
        (SIESTA, "2026-05-04T16:30", None),
        (SIESTA, "2026-05-04T23:00", None),
    ],
)
def test_quiet_is_from_the_first_time_to_the_second_also_over_midnight(
    hours: QuietHours, now: str, end: str | None
) -> None:
    assert hours.ends(at(now), [MEXICO]) == (None if end is None else at(end))


def test_it_is_quiet_until_it_is_quiet_in_none_of_several_zones() -> None:
    # 22:30 in Mexico City is 20:30 or 21:30 in Tijuana; 08:30 there is 06:30 or 07:30.
    assert NIGHT.ends(at("2026-01-10T22:30"), [MEXICO, TIJUANA]) == at("2026-01-11T08:00")
    assert NIGHT.ends(at("2026-01-11T08:30"), [MEXICO, TIJUANA]) == at("2026-01-11T08:00", TIJUANA)
    assert NIGHT.ends(at("2026-01-11T12:00"), [MEXICO, TIJUANA]) is None
    assert NIGHT.ends(at("2026-01-10T23:00"), []) is None


def test_the_night_in_which_the_clock_is_put_forward_ends_by_the_new_time() -> None:
    before = at("2026-03-07T23:00", JUAREZ)
    assert NIGHT.ends(before, [JUAREZ]) == dt.datetime(2026, 3, 8, 14, 0, tzinfo=dt.UTC)
    at_the_jump = QuietHours.parse("01:00-02:30").ends(at("2026-03-08T01:30", JUAREZ), [JUAREZ])
    assert at_the_jump is not None
    assert at_the_jump.astimezone(JUAREZ).time() >= dt.time(2, 30)


@given(
    st.integers(0, 3 * 365 * 1440).map(lambda minutes: at("2025-01-01T00:00") + dt.timedelta(minutes=minutes)),
    st.times(),
    st.times(),
    st.sampled_from([MEXICO, TIJUANA, JUAREZ]),
)
def test_quiet_ends_later_than_now_within_a_day_and_is_over_then(
    now: dt.datetime, begin: dt.time, end: dt.time, zone: ZoneInfo
) -> None:
    hours = QuietHours(begin.replace(second=0, microsecond=0), end.replace(second=0, microsecond=0))
    if hours.begin != hours.end and (ends := hours.ends(now, [zone])) is not None:
        assert now < ends <= now + dt.timedelta(hours=25)


@pytest.mark.parametrize(
    ("phone", "zones"),
    [
        ("5551402211", {"Mexico_City"}),
        ("6641234567", {"Tijuana"}),
        ("6631234567", {"Tijuana", "Mexico_City"}),
        ("9981234567", {"Cancun"}),
        ("6691234567", {"Mazatlan"}),
        ("6671234567", {"Mazatlan", "Mexico_City"}),
        ("6141234567", {"Chihuahua", "Mazatlan"}),
        ("6561234567", {"Ciudad_Juarez"}),
        ("8681234567", {"Matamoros", "Mexico_City"}),
        ("6491234567", {"Chihuahua", "Mazatlan", "Mexico_City"}),
        ("123", set()),
        ("not a phone", set()),
    ],
)
def test_an_area_code_gives_the_time_zones_of_its_numbers(phone: str, zones: set[str]) -> None:
    assert {zone.key for zone in zones_of(phone)} == {f"America/{name}" for name in zones}


@pytest.mark.parametrize(
    ("town", "area_code", "zone"),
    [
        ("Ocampo, Coahuila", "869", "Matamoros"),
        ("Nava, Coahuila", "862", "Matamoros"),
        ("Ciudad Acuña, Coahuila", "877", "Matamoros"),
        ("Piedras Negras, Coahuila", "878", "Matamoros"),
        ("Anáhuac, Nuevo León", "873", "Matamoros"),
        ("Lampazos, Nuevo León", "873", "Mexico_City"),
        ("Nuevo Laredo, Tamaulipas", "867", "Matamoros"),
        ("Miguel Alemán, Tamaulipas", "897", "Matamoros"),
        ("Camargo, Tamaulipas", "891", "Matamoros"),
        ("Reynosa, Tamaulipas", "899", "Matamoros"),
        ("Valle Hermoso, Tamaulipas", "894", "Matamoros"),
        ("Matamoros, Tamaulipas", "868", "Matamoros"),
        ("Ojinaga, Chihuahua", "626", "Ojinaga"),
        ("Ascensión, Chihuahua", "636", "Ciudad_Juarez"),
        ("Nuevo Casas Grandes, Chihuahua", "636", "Chihuahua"),
        ("Ciudad Juárez, Chihuahua", "656", "Ciudad_Juarez"),
        ("the valley of Mexicali, Baja California", "653", "Tijuana"),
        ("Isla de Cedros, Baja California", "615", "Tijuana"),
        ("Tamazula, Durango", "667", "Mexico_City"),
        ("Xpujil, Campeche", "983", "Mexico_City"),
        ("José María Morelos, Quintana Roo", "997", "Cancun"),
    ],
)
def test_a_town_beyond_a_border_of_zones_is_among_those_of_its_area_code(town: str, area_code: str, zone: str) -> None:
    """Also where Google's numbering data knows only the clock of the area code's largest town."""
    home = ZoneInfo(f"America/{zone}")
    assert home in zones_of(f"{area_code}1234567"), town
    for hour in range(0, 366 * 24, 5):
        now = at("2026-01-01T00:00") + dt.timedelta(hours=hour)
        ends = NIGHT.ends(now, [home])
        if ends is not None:
            waits_until = NIGHT.ends(now, zones_of(f"{area_code}1234567"))
            assert waits_until is not None
            assert waits_until >= ends


# --- What becomes of a message

QUIET = dataclasses.replace(POLICY, quiet=NIGHT)
LATE = at("2026-05-04T23:00")


def test_a_low_message_whose_recipient_sleeps_waits_for_the_morning_and_spends_no_attempt() -> None:
    was = message(priority=Priority.LOW)
    change = on_claim.after_claim(was, "mine", "fingerprint", LATE, QUIET, [MEXICO])
    assert change.note is not None
    assert change.note.cause is Cause.QUIET_HOURS
    assert change.becomes == dataclasses.replace(was, due_at=at("2026-05-05T08:00"))


@pytest.mark.parametrize(
    ("priority", "policy", "now"),
    [
        (Priority.NORMAL, QUIET, LATE),
        (Priority.HIGH, QUIET, LATE),
        (Priority.LOW, POLICY, LATE),
        (Priority.LOW, QUIET, at("2026-05-04T12:00")),
    ],
    ids=["normal", "high", "no quiet hours", "by day"],
)
def test_other_messages_and_other_times_know_no_quiet_hours(
    priority: Priority, policy: policy_of_lifecycle.Policy, now: dt.datetime
) -> None:
    change = on_claim.after_claim(message(priority=priority), "mine", "fingerprint", now, policy, [MEXICO])
    assert change.becomes.state is State.SENDING


def test_quiet_hours_keep_no_message_alive_beyond_its_validity() -> None:
    was = message(priority=Priority.LOW, expires_at=LATE)
    assert on_claim.after_claim(was, "mine", "fingerprint", LATE, QUIET, [MEXICO]).becomes.state is State.EXPIRED


def test_lower_priorities_are_favoured_in_three_of_ten_claims() -> None:
    claims = Counter(on_claim.favoured((n + 0.5) / 1000) for n in range(1000))
    assert claims == {None: 700, Priority.NORMAL: 200, Priority.LOW: 100}
