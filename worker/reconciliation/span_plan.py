"""Split the span of a pass into slices, one report each. Pure functions.

Two things decide where a slice may end. It ends at a control row where there is one, because a provider that silently
cuts off the end of long reports would then cut off a control row too, which is noticed. And it never begins or ends
within an hour that the provider's local clock shows twice (end of summer time), because such a limit has two meanings.
"""

import bisect
import datetime as dt
from collections.abc import Sequence
from zoneinfo import ZoneInfo

_HOUR = dt.timedelta(hours=1)

Span = tuple[dt.datetime, dt.datetime]


def plan_spans(
    begin: dt.datetime, end: dt.datetime, longest: dt.timedelta, controls: Sequence[dt.datetime], zone: ZoneInfo
) -> list[Span]:
    """Return consecutive spans from `begin` to `end`.

    Args:
        begin: where the first span begins.
        end: where the last span ends.
        longest: how long a span may be; a repeated hour at its end is added to it.
        controls: when the control rows were accepted, in order.
        zone: of the provider's dates.
    """
    planned: list[Span] = []
    start = begin
    while start < end:
        stop = start + longest
        place = bisect.bisect_right(controls, stop)
        if place and controls[place - 1] >= start + longest / 2:
            stop = controls[place - 1]
        while stop < end and is_repeated(stop, zone):
            stop += _HOUR
        planned.append((start, min(stop, end)))
        start = stop
    return planned


def is_repeated(time: dt.datetime, zone: ZoneInfo) -> bool:
    """Return whether the local clock of a zone shows this time twice."""
    local = time.astimezone(zone)
    return local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset()


def before_repeated_hour(time: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """Return this time, or the same minute before the repeated hour that it lies in."""
    while is_repeated(time, zone):
        time -= _HOUR
    return time
