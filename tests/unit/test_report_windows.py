"""Which spans of time reports are asked for, and how often."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import NOW, POLICY
from worker.reports import windows

_times = st.lists(st.integers(0, 90_000), max_size=60).map(
    lambda seconds: [NOW + dt.timedelta(seconds=each) for each in sorted(seconds)]
)


@given(_times, st.integers(1, 50_000))
def test_slices_hold_every_message_once_in_order_and_none_is_longer_than_allowed(
    times: list[dt.datetime], seconds: int
) -> None:
    longest = dt.timedelta(seconds=seconds)
    planned = windows.plan_slices(times, longest)
    assert sum(each.count for each in planned) == len(times)
    held = [time for each in planned for time in times if each.first <= time <= each.last]
    assert held == times
    assert all(each.last - each.first <= longest for each in planned)
    assert all(earlier.last < later.first for earlier, later in pairwise(planned))


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 10**5)), min_size=1))
def test_a_slice_of_the_density_that_was_seen_last_has_no_more_rows_than_wanted(reports: list[tuple[int, int]]) -> None:
    density = None
    for rows, seconds in reports:
        density = windows.updated_density(density, rows, dt.timedelta(seconds=seconds))
    rows, seconds = reports[-1]
    expected = windows.longest_slice(density).total_seconds() * rows / seconds
    assert expected <= windows.WANTED_REPORT_ROWS * 1.001 or windows.longest_slice(density).total_seconds() == 10


@given(st.integers(1, 30_000), st.floats(0, POLICY.tracking * 4))
def test_waits_grow_with_age_and_shrink_with_the_number_of_messages(count: int, age: float) -> None:
    wait = windows.seconds_to_next_report(count, age, POLICY)
    assert 0 < windows.seconds_to_next_report(count + 1, age, POLICY) <= wait <= max(age / 6, 1800)
    assert wait <= windows.seconds_to_next_report(count, age * 1.3, POLICY) or age * 1.3 >= POLICY.tracking / 16


@pytest.mark.parametrize(
    ("age", "expected"), [(0, 15), (14.9, 15), (15, 30), (50, 60), (1000, 900), (86_400, 3600), (600_000, 3600)]
)
def test_a_single_check_waits_as_the_setting_says(age: float, expected: float) -> None:
    assert windows.seconds_to_single_check(age, POLICY) == expected


@pytest.mark.parametrize("tracking", [10.0, 100.0, 3600.0, 604_800.0])
def test_brackets_leave_no_gap_between_the_sending_and_the_end(tracking: float) -> None:
    found = windows.age_brackets(type(POLICY)(lease=120, settle_seconds=600, tracking=tracking, poll=(1,)))
    assert (found[0].youngest, found[-2].oldest, found[-1].oldest) == (0, tracking, tracking * 4)
    assert all(one.oldest == other.youngest for one, other in pairwise(found))
    assert len({bracket.name for bracket in found}) == len(found)
