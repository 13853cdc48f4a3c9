"""Histograms as plain counts: one for each bucket, and the sum in microseconds. Pure."""

import bisect
import math
from collections.abc import Mapping, Sequence
from typing import Final

FAST_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""Upper limits of what takes milliseconds on a good day."""

SLOW_SECONDS: Final = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14_400.0, 86_400.0, 604_800.0)
"""Upper limits of what takes minutes, and days on a bad one."""

MICROSECONDS: Final = 1_000_000

_SUM: Final = "sum"
_INFINITE: Final = "+Inf"


def counts(seconds: float, limits: Sequence[float]) -> dict[str, int]:
    """What one observation adds, by the part of the histogram: a bucket's upper limit, or the sum.

    Args:
        seconds: what was measured; a negative time, after a step of the clock, counts as 0.
        limits: the buckets' upper limits, in order.
    """
    seconds = max(0.0, seconds)
    place = bisect.bisect_left(limits, seconds)
    limit = str(limits[place]) if place < len(limits) else _INFINITE
    return {limit: 1, _SUM: round(seconds * MICROSECONDS)}


def cumulative(parts: Mapping[str, int], limits: Sequence[float]) -> tuple[list[tuple[str, float]], float]:
    """The buckets as Prometheus has them, and the sum in seconds.

    Args:
        parts: added up, as `counts` gives them; a limit of another release counts in the next one of `limits`.
        limits: the buckets' upper limits, in order.
    """
    found = sorted((float(limit), count) for limit, count in parts.items() if limit != _SUM)
    buckets = [
        ("+Inf" if math.isinf(limit) else str(limit), float(sum(count for upper, count in found if upper <= limit)))
        for limit in (*limits, math.inf)
    ]
    return buckets, parts.get(_SUM, 0) / MICROSECONDS


def count_of(parts: Mapping[str, int]) -> int:
    """How many observations these are."""
    return sum(count for limit, count in parts.items() if limit != _SUM)


def quantile(parts: Mapping[str, int], limits: Sequence[float], share: float) -> float | None:
    """Below which time this share of the observations lies, as far as the buckets can say.

    Args:
        parts: added up, as `counts` gives them.
        limits: the buckets' upper limits, in order.
        share: from 0 to 1; 0.5 for the median.

    Returns:
        Seconds, interpolated within the bucket; the last limit where the share lies beyond it. None where nothing was
        observed.
    """
    found = sorted((float(limit), count) for limit, count in parts.items() if limit != _SUM and count > 0)
    wanted = share * sum(count for _, count in found)
    seen = 0
    for upper, count in found:
        if seen + count >= wanted:
            lower = max([limit for limit in limits if limit < upper], default=0.0)
            return lower if math.isinf(upper) else lower + (upper - lower) * (wanted - seen) / count
        seen += count
    return None
