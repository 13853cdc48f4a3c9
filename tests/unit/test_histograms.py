"""Histograms as counts that can be added up, whoever made them."""

from __future__ import annotations

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from worker.metrics.histograms import FAST_SECONDS, SLOW_SECONDS, counts, cumulative, quantile


@given(st.lists(st.floats(0, 1e6)), st.sampled_from([FAST_SECONDS, SLOW_SECONDS]))
def test_each_bucket_has_what_is_not_above_its_limit(seconds: list[float], limits: tuple[float, ...]) -> None:
    parts: Counter[str] = Counter()
    for each in seconds:
        parts.update(counts(each, limits))
    buckets, total = cumulative(parts, limits)
    assert [name for name, _ in buckets] == [*map(str, limits), "+Inf"]
    for name, count in buckets:
        assert count == sum(each <= float(name) for each in seconds), name
    assert abs(total - sum(seconds)) <= 1e-6 * len(seconds)


def test_a_time_before_zero_counts_as_zero() -> None:
    assert counts(-5, FAST_SECONDS) == {"0.005": 1, "sum": 0}


def test_a_limit_of_another_release_counts_in_the_next_one() -> None:
    buckets, _ = cumulative({"0.7": 2, "0.5": 1, "99": 4}, (0.5, 1.0))
    assert buckets == [("0.5", 1), ("1.0", 3), ("+Inf", 7)]


@given(st.lists(st.floats(0.001, 4000), min_size=1), st.sampled_from([0.0, 0.5, 0.99, 1.0]))
def test_a_quantile_is_right_to_the_width_of_its_bucket(seconds: list[float], share: float) -> None:
    parts: Counter[str] = Counter()
    for each in seconds:
        parts.update(counts(each, SLOW_SECONDS))
    exact = sorted(seconds)[max(0, math.ceil(share * len(seconds)) - 1)]
    lower = max((limit for limit in SLOW_SECONDS if limit < exact), default=0.0)
    upper = min(limit for limit in SLOW_SECONDS if limit >= exact)
    found = quantile(parts, SLOW_SECONDS, share)
    assert found is not None
    assert lower <= found <= upper


def test_beyond_the_last_limit_a_quantile_is_that_limit_and_of_nothing_there_is_none() -> None:
    assert quantile({"+Inf": 3, "sum": 9}, (1.0, 2.0), 0.5) == 2.0
    assert quantile({"sum": 0}, (1.0, 2.0), 0.5) is None
