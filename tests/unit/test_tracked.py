"""Followed messages in arrays: what comes out is what went in."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from worker.tracking.tracked import Followed, FollowedMessages

BEGIN = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)
INSTANTS = st.integers(0, 20).map(lambda number: BEGIN + number * dt.timedelta(microseconds=1))
ROWS = st.lists(
    st.tuples(st.integers(1, 2**62), st.integers(-5, 50), INSTANTS, st.none() | INSTANTS),
    max_size=30,
    unique_by=lambda row: row[1],
).map(lambda rows: sorted(rows, key=lambda row: row[2]))


@given(ROWS)
def test_the_items_are_the_rows(rows: list[tuple[int, int, dt.datetime, dt.datetime | None]]) -> None:
    held = FollowedMessages(rows)
    assert len(held) == len(rows)
    assert list(held) == [Followed(*row) for row in rows]
    assert held[1:-1] == list(held)[1:-1]
    assert list(held.times()) == [row[2] for row in rows]


@given(ROWS, st.integers(-6, 51))
def test_a_message_is_found_by_the_providers_id_in_whatever_order_those_are(
    rows: list[tuple[int, int, dt.datetime, dt.datetime | None]], wanted: int
) -> None:
    expected = {row[1]: row[0] for row in rows}
    assert FollowedMessages(rows).id_of(wanted) == expected.get(wanted)


@given(ROWS, INSTANTS, INSTANTS)
def test_places_are_those_of_a_span_with_both_its_ends(
    rows: list[tuple[int, int, dt.datetime, dt.datetime | None]], first: dt.datetime, last: dt.datetime
) -> None:
    found = FollowedMessages(rows).places(first, last)
    assert list(found) == [place for place, row in enumerate(rows) if first <= row[2] <= last]
