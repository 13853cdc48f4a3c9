"""Which spans of time to ask a report for, and how often: pure functions.

Messages of like age are asked for together (a bracket), in slices of bounded numbers of rows. A report is worth its
request the sooner, the more messages wait and the younger they are.
"""

import datetime as dt
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

from smsclick.contract import State
from worker.lifecycle.policy import Policy
from worker.reports.matching import SLACK

FEW = 3
"""So many messages of a slice are asked for one by one; more, and one report answers for all."""
ROWS = 20_000
"""Rows that a report should have at most; slices are cut for that, by the density that was seen."""
MOST_ROWS = 5 * ROWS
"""Rows after which a report is left unread: it was denser than anything before."""

_AGES = (60.0, 600.0, 7200.0)
_OLD = 1 / 16
"""Of the tracking window: from here on waits are a share of the age."""
_SHARE = 1 / 6
_WORTH = 800.0
"""Message-seconds of delay that one request is worth."""
_NEAR = dt.timedelta(seconds=10)
_FIRST_SLICE = 600.0
_SHORTEST_SLICE = 10.0
_FORGET = 0.8


@dataclass(frozen=True, slots=True)
class Bracket:
    """Followed messages of like age.

    Attributes:
        name: of its watermark.
        state: the one that its messages are in.
        youngest: seconds since they were sent, at least.
        oldest: and below.
        before: by how much a report must begin earlier than its first message was sent.
    """

    name: str
    state: State
    youngest: float
    oldest: float
    before: dt.timedelta


@dataclass(frozen=True, slots=True)
class Slice:
    """One report: messages that were sent from `first` to `last`, both included."""

    first: dt.datetime
    last: dt.datetime
    count: int


def brackets(policy: Policy) -> tuple[Bracket, ...]:
    """All brackets, the youngest first; the last one holds the undetermined."""
    ages = sorted({0.0, *(age for age in _AGES if age < policy.tracking), policy.tracking * _OLD, policy.tracking})
    followed = [
        Bracket(f"sent:{number}", State.SENT, youngest, oldest, SLACK if number else _NEAR)
        for number, (youngest, oldest) in enumerate(itertools.pairwise(ages))
    ]
    late = Bracket("undetermined", State.UNDETERMINED, policy.tracking, policy.tracking * 4, SLACK)
    return (*followed, late)


def wait(count: int, age: float, policy: Policy) -> float:
    """Seconds until the next report about `count` messages of this age.

    Messages of an age become final at a rate that falls with the age, so that the delay of all of them together costs
    least where the wait is the root of age / count; never more than half of the wait of a single check, or those would
    come first. Very old ones wait for a share of their age.
    """
    if age >= policy.tracking * _OLD:
        return age * _SHARE
    return min(math.sqrt(4 * _WORTH * max(age, 1.0) / max(count, 1)), scheduled(age, policy) / 2)


def scheduled(age: float, policy: Policy) -> float:
    """The wait of a single check at this age, as `SMSCLICK_POLL_SECONDS` says."""
    reached = 0.0
    for each in policy.poll:
        reached += each
        if age < reached:
            return each
    return policy.poll[-1]


def longest(density: float | None) -> dt.timedelta:
    """How long a slice may be, given the rows for each second that were seen."""
    if density is None:
        return dt.timedelta(seconds=_FIRST_SLICE)
    return dt.timedelta(seconds=min(max(ROWS / max(density, 1e-3), _SHORTEST_SLICE), 1e7))


def learned(density: float | None, rows: int, span: dt.timedelta) -> float:
    """The density after a report: what is denser is believed at once, what is thinner little by little."""
    seen = rows / max(span.total_seconds(), 1.0)
    return seen if density is None else max(seen, density * _FORGET)


def plan(times: Iterable[dt.datetime], longest: dt.timedelta) -> list[Slice]:
    """Slices that hold all of these times, which are in order; each begins and ends at one of them."""
    slices: list[Slice] = []
    first = last = None
    count = 0
    for time in times:
        if first is None or last is None or time - first > longest:
            if first is not None and last is not None:
                slices.append(Slice(first, last, count))
            first, count = time, 0
        last = time
        count += 1
    if first is not None and last is not None:
        slices.append(Slice(first, last, count))
    return slices
