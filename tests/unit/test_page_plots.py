"""The page's plots and numbers: what a template draws and writes for any figures."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.pages.numbers import number, span
from web.pages.plots import HEIGHT, SPAN, WIDTH, ceiling, plot

END = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)


@given(
    st.lists(
        st.tuples(st.integers(0, 7200), st.none() | st.floats(0, 1e9, allow_nan=False, allow_infinity=False)),
        max_size=80,
    )
)
def test_a_plot_of_any_figures_stays_in_its_box(figures: list[tuple[int, float | None]]) -> None:
    points = [(END - dt.timedelta(seconds=ago), value) for ago, value in sorted(figures, key=lambda each: -each[0])]
    drawn = plot(points, END)
    inside = [value for at, value in points if at >= END - SPAN and value is not None]
    assert drawn.has_points == bool(inside)
    assert drawn.most == max(inside, default=None)
    assert drawn.top >= max(inside, default=0)
    for path in drawn.lines + drawn.areas:
        for x, y in re.findall(r"[ML]([-\d.]+) ([-\d.]+)", path):
            assert 0 <= float(x) <= WIDTH
            assert -0.05 <= float(y) <= HEIGHT


def test_a_gap_is_no_line() -> None:
    minute = dt.timedelta(minutes=1)
    drawn = plot([(END - 4 * minute, 1.0), (END - 3 * minute, 2.0), (END - 2 * minute, None), (END, 4.0)], END)
    assert drawn.lines == ("M560.0 120.0L570.0 90.0", "M598.0 30.0L600.0 30.0")
    assert (drawn.top, drawn.last, drawn.most) == (5.0, 4.0, 4.0)


@pytest.mark.parametrize(("value", "top"), [(0, 1), (0.02, 0.02), (0.021, 0.05), (1, 1), (1.1, 2), (501, 1000)])
def test_the_upper_edge_is_a_round_number(value: float, top: float) -> None:
    assert ceiling(value) == pytest.approx(top)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"), (0, "0 ms"), (0.0254, "25 ms"), (1, "1 s"), (3.21, "3.2 s"), (59.6, "1 min"), (310, "5 min 10 s"),
        (7500, "2 h 5 min"), (86_400, "1 día"), (273_700, "3 días 4 h"),
    ],
)  # fmt: skip
def test_spans_have_their_two_largest_units(seconds: float | None, words: str) -> None:
    assert span(seconds, "es") == words
    assert span(seconds, "en") == words.replace("días", "days").replace("día", "day")


@pytest.mark.parametrize(
    ("value", "words"), [(None, "-"), (0, "0"), (7, "7"), (1234.4, "1,234"), (2.25, "2.2"), (0.0312, "0.031")]
)
def test_numbers_are_short(value: float | None, words: str) -> None:
    assert number(value) == words
