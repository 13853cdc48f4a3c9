"""Which spans of time to ask a report for, and how often. Pure functions.

One report answers for every message that was sent within its span, so messages are not asked for one by one:

- **Brackets.** Followed messages are grouped by age. Young messages become final fast and are asked for often; old ones
  rarely change and are asked for rarely. Each bracket has its own watermark.
- **Slices.** The messages of a bracket are split into spans of time that each hold a bounded number of report rows. The
  number of rows is predicted from the density (rows per second) of the reports that were read before.
- **Waits.** The more messages wait and the younger they are, the sooner the next report is worth its request.

See docs/decisions/0011-tracking-by-report.md.
"""

import datetime as dt
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

from smsclick.contract import State
from worker.lifecycle.policy import Policy
from worker.reports.matching import CLOCK_TOLERANCE

MOST_SINGLE_CHECKS = 3
"""A slice with at most this many messages is asked for with one `getMsg` per message; one with more, with a report."""
WANTED_REPORT_ROWS = 20_000
"""Rows that a report should have at most. Slices are cut for that, by the density of earlier reports."""
MOST_REPORT_ROWS = 5 * WANTED_REPORT_ROWS
"""Rows after which the reader leaves a report: it is much denser than the earlier ones."""

_BRACKET_AGES_SECONDS = (60.0, 600.0, 7200.0)
_OLD_SHARE_OF_TRACKING = 1 / 16
"""Messages older than this share of the tracking window wait for a share of their age."""
_WAIT_SHARE_OF_AGE = 1 / 6
_DELAY_SECONDS_PER_REQUEST = 800.0
"""Message-seconds of delay that justify one more request."""
_MARGIN_OF_NEWEST_BRACKET = dt.timedelta(seconds=10)
_FIRST_SLICE_SECONDS = 600.0
_SHORTEST_SLICE_SECONDS = 10.0
_LONGEST_SLICE_SECONDS = 1e7
_LEAST_ROWS_PER_SECOND = 1e-3
_DENSITY_DECAY_PER_REPORT = 0.8


@dataclass(frozen=True, slots=True)
class Bracket:
    """Followed messages of similar age.

    Attributes:
        name: of its watermark.
        state: the state of its messages.
        youngest: the least age of its messages, in seconds since they were sent; included.
        oldest: the greatest age, in seconds; excluded.
        margin_before: how much earlier than its first message a report begins.
    """

    name: str
    state: State
    youngest: float
    oldest: float
    margin_before: dt.timedelta


@dataclass(frozen=True, slots=True)
class ReportSlice:
    """The span of one report.

    Attributes:
        first: when its first message was sent.
        last: when its last message was sent.
        count: how many of our messages were sent from `first` to `last`, both included.
    """

    first: dt.datetime
    last: dt.datetime
    count: int


def age_brackets(policy: Policy) -> tuple[Bracket, ...]:
    """Return all brackets, the youngest first; the last one holds the `undetermined` messages."""
    ages = sorted(
        {
            0.0,
            *(age for age in _BRACKET_AGES_SECONDS if age < policy.tracking),
            policy.tracking * _OLD_SHARE_OF_TRACKING,
            policy.tracking,
        }
    )
    followed = [
        Bracket(
            f"sent:{number}", State.SENT, youngest, oldest, CLOCK_TOLERANCE if number else _MARGIN_OF_NEWEST_BRACKET
        )
        for number, (youngest, oldest) in enumerate(itertools.pairwise(ages))
    ]
    late = Bracket("undetermined", State.UNDETERMINED, policy.tracking, policy.tracking * 4, CLOCK_TOLERANCE)
    return (*followed, late)


def seconds_to_next_report(count: int, age: float, policy: Policy) -> float:
    """Return how many seconds to wait for the next report about `count` messages of this age in seconds.

    Messages become final at a rate that falls with their age. The sum of requests and delays is then least where the
    wait is proportional to the square root of age / count. The wait is at most half of the wait of a single check,
    because otherwise the single checks would come first. Old messages wait for a share of their age.
    """
    if age >= policy.tracking * _OLD_SHARE_OF_TRACKING:
        return age * _WAIT_SHARE_OF_AGE
    wait = math.sqrt(4 * _DELAY_SECONDS_PER_REQUEST * max(age, 1.0) / max(count, 1))
    return min(wait, seconds_to_single_check(age, policy) / 2)


def seconds_to_single_check(age: float, policy: Policy) -> float:
    """Return the wait before the next single check at this age in seconds, as `SMSCLICK_POLL_SECONDS` says."""
    reached = 0.0
    for each in policy.poll:
        reached += each
        if age < reached:
            return each
    return policy.poll[-1]


def longest_slice(density: float | None) -> dt.timedelta:
    """Return how long a slice may be, given the rows per second of earlier reports; None: no report was read yet."""
    if density is None:
        return dt.timedelta(seconds=_FIRST_SLICE_SECONDS)
    seconds = WANTED_REPORT_ROWS / max(density, _LEAST_ROWS_PER_SECOND)
    return dt.timedelta(seconds=min(max(seconds, _SHORTEST_SLICE_SECONDS), _LONGEST_SLICE_SECONDS))


def updated_density(density: float | None, rows: int, span: dt.timedelta) -> float:
    """Return the density after a report of this span: a denser report counts at once, a thinner one step by step."""
    seen = rows / max(span.total_seconds(), 1.0)
    return seen if density is None else max(seen, density * _DENSITY_DECAY_PER_REPORT)


def plan_slices(times: Iterable[dt.datetime], longest: dt.timedelta) -> list[ReportSlice]:
    """Return slices of at most this length that hold all of these ascending times and begin and end at one of them."""
    slices: list[ReportSlice] = []
    first = last = None
    count = 0
    for time in times:
        if first is None or last is None or time - first > longest:
            if first is not None and last is not None:
                slices.append(ReportSlice(first, last, count))
            first, count = time, 0
        last = time
        count += 1
    if first is not None and last is not None:
        slices.append(ReportSlice(first, last, count))
    return slices
