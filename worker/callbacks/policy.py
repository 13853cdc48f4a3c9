"""Decisions about callbacks, without I/O: waits, when to give up, when to alert, how many calls a receiver may have.

A message's callbacks are delivered at least once and in order. A receiver is a webhook's host or a task's queue; one
that failed gets one call at a time, so that it does not take the capacity of the others.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from smsclick._values.times import iso
from worker.alerting.wording import DetailCode
from worker.callbacks.call import Acknowledged, Call, Ended, GivenUp, NotAcknowledged, Outcome
from worker.callbacks.failures import Failure

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator

CALLS_IN_FLIGHT = 32
"""The most calls of one process at the same time."""

CALLS_PER_RECEIVER = 8
"""The most calls of one process to one receiver at the same time."""

CLAIMED_PER_RECEIVER = 64
"""The most rows of one receiver that a process holds claimed, so that the next calls need no look at the database."""

CLAIMED_ROWS = 256
"""The most rows that a process holds claimed."""

WAITS_SECONDS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""The wait after each try, as the Standard Webhooks specification advises; the last one repeats."""

GIVE_UP_AFTER_SECONDS = 3 * 86_400.0
"""From the change on; then a receiver that fails is given up."""

CONFIGURATION_WAIT_SECONDS = 300.0
"""Between two looks at a callback that waits for another configuration. No call is made for such a look."""

CONFIGURATION_GIVE_UP_AFTER_SECONDS = 30 * 86_400.0
"""As long as a final callback is kept."""

ALERT_AFTER_TRIES = 4
"""A receiver that fails is reported as an incident after this many tries, about half an hour."""


def event(call: Call, *, with_reply: bool) -> dict[str, Any]:
    """The event as the receiver gets it.

    Args:
        call: the claimed row.
        with_reply: whether to include the reply. A task's event leaves it out: brokers must not hold a person's words.
    """
    data = call.data | ({"reply": call.reply} if with_reply else {})
    return {"type": call.type, "timestamp": iso(call.created_at), "data": data}


def outcome_of_status(status: int) -> Outcome:
    """Classify a webhook's HTTP status: 2xx acknowledges, 410 ends the callback, all others are tried again."""
    if 200 <= status < 300:
        return Acknowledged()
    if status == 410:
        return GivenUp(Failure.of(DetailCode.CALL_GONE))
    if 300 <= status < 400:
        return NotAcknowledged(Failure.of(DetailCode.CALL_REDIRECTED, status=status))
    return NotAcknowledged(Failure.of(DetailCode.CALL_STATUS, status=status))


def ended(call: Call, outcome: Outcome, rng: random.Random) -> Ended:
    """Decide what becomes of a callback after a call."""
    match outcome:
        case Acknowledged():
            return Ended(call, outcome, wait_seconds=None, needs_incident=False)
        case GivenUp():
            return Ended(call, outcome, wait_seconds=None, needs_incident=True)
        case NotAcknowledged(needs_operator=True):
            return Ended(call, outcome, configuration_wait(call.age_seconds, rng), needs_incident=True)
        case NotAcknowledged():
            wait_seconds = next_wait(call.tries, call.age_seconds, rng)
            has_failed_long = call.tries >= ALERT_AFTER_TRIES or call.age_seconds >= GIVE_UP_AFTER_SECONDS
            return Ended(call, outcome, wait_seconds, has_failed_long)


def next_wait(tries: int, age_seconds: float, rng: random.Random) -> float | None:
    """Seconds until the next try, with jitter; None where `GIVE_UP_AFTER_SECONDS` are over."""
    left = GIVE_UP_AFTER_SECONDS - age_seconds
    if left <= 0:
        return None
    return min(left, WAITS_SECONDS[min(tries, len(WAITS_SECONDS)) - 1] * rng.uniform(0.9, 1.1))


def configuration_wait(age_seconds: float, rng: random.Random) -> float | None:
    """Seconds until the next look at a callback that needs another configuration, with jitter; None to give it up."""
    if age_seconds >= CONFIGURATION_GIVE_UP_AFTER_SECONDS:
        return None
    return CONFIGURATION_WAIT_SECONDS * rng.uniform(0.9, 1.1)


class ReceiverShares:
    """How many rows and calls each receiver may have in this process. Not safe from several threads."""

    def __init__(self) -> None:
        self.failing: set[str] = set()
        """Receivers that did not acknowledge their last call."""

    def note(self, results: Iterable[tuple[Call, Outcome]]) -> None:
        """Remember which receivers fail."""
        for call, outcome in results:
            if isinstance(outcome, Acknowledged):
                self.failing.discard(call.receiver)
            else:
                self.failing.add(call.receiver)

    def rows_to_claim(self, receiver: str, held: int) -> int:
        """How many more rows of a receiver to claim.

        Args:
            receiver: one that has due rows.
            held: rows of it that are claimed already, in flight ones included.

        Returns:
            0 or less where none; a receiver that fails has one row at a time.
        """
        if receiver in self.failing:
            return 1 - held
        return CLAIMED_PER_RECEIVER - held if held <= CLAIMED_PER_RECEIVER // 2 else 0

    def next_calls(self, claimed: dict[str, deque[Call]], in_flight: Iterable[Call], now: float) -> Iterator[Call]:
        """Take the calls that may begin now out of `claimed`, one of each receiver in rotation.

        Args:
            claimed: the claimed rows of each receiver, first one first. Yielded calls are removed, and so are calls
                whose claim is too old: another process delivers them.
            in_flight: calls that have begun and not ended; a yielded call counts as begun.
            now: by `time.monotonic()`.
        """
        counts = Counter(call.receiver for call in in_flight)
        rotation = deque(claimed)
        while rotation and counts.total() < CALLS_IN_FLIGHT:
            receiver = rotation.popleft()
            if counts[receiver] >= (1 if receiver in self.failing else CALLS_PER_RECEIVER):
                continue
            call = claimed[receiver].popleft()
            if claimed[receiver]:
                rotation.append(receiver)
            else:
                del claimed[receiver]
            if now < call.begin_by:
                counts[receiver] += 1
                yield call
