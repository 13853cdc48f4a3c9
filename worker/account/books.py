"""Whether the account's balance proves that an attempt was not charged: the second witness. Pure functions and values.

A provider charges what it accepts. Where the balance of an account has moved, each time, by exactly what the answers to
our requests said, it is known to show a charge. Then it says that an attempt was not charged if it did not move across
the attempt and every later move up to now is explained by messages of known id. It never says that one was accepted.
Which of these is needed for what, and what they cannot exclude: docs/decisions/0040-the-balance-as-a-witness.md.
"""

import dataclasses
import datetime as dt
import enum
import itertools
from collections.abc import Sequence

from worker.reports.matching import Attempt

MOVES = 10
"""Charges in a row that the balance must have shown exactly before an attempt, for its standing still to count.

So many, because an account that pays 0.9 for a message and sees whole credits shows nine of ten charges exactly.
"""


class Flaw(enum.StrEnum):
    """Why the balance proves nothing about an attempt."""

    MOVED = "it was not read before and after the attempt, or it was not the same"
    UNEXPLAINED = "a later change is not what was charged for messages of known id"
    STILL = "it has not moved since: nothing shows that it still does"
    UNPROVEN = "too few charges in a row were shown exactly before the attempt"
    REFUNDABLE = "a message before the attempt was not delivered: its credits may have come back"
    YOUNG = "it was not read SMSCLICK_SETTLE_SECONDS after the attempt"


@dataclasses.dataclass(frozen=True, slots=True)
class Level:
    """The balance as several readings in a row gave it, by the database's clock.

    Attributes:
        amount: whole credits; None where that could not be read, or not as a whole number.
        first_asked: when the first of these readings was asked for.
        first_answered: when its answer was there.
        last_asked: when the last one was asked for.
        last_answered: when its answer was there.
    """

    amount: int | None
    first_asked: dt.datetime
    first_answered: dt.datetime
    last_asked: dt.datetime
    last_answered: dt.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Charge:
    """A message of known id: between `since` and `until` it was accepted, and its credits were charged.

    Attributes:
        credits: as the provider's answer said; None where it did not.
        delivered: whether it was, so that nobody gives its credits back.
    """

    since: dt.datetime
    until: dt.datetime
    credits: int | None
    delivered: bool


class Books:
    """Levels and charges of one account, compared with each other.

    Args:
        levels: in order.
        charges: all that were made since the first level.
    """

    def __init__(self, levels: Sequence[Level], charges: Sequence[Charge]) -> None:
        self._levels = levels
        self._steps = [_step(lower, upper, charges) for lower, upper in itertools.pairwise(levels)]
        self._flawed = [_contradicted(level, charges) for level in levels]

    @property
    def balanced(self) -> bool:
        """Whether so many charges in a row were shown exactly at any time: reading far back may be worth it."""
        row = 0
        for step, flawed in zip(self._steps, self._flawed, strict=False):
            row = 0 if flawed or not step.explained else row + (step.drop > 0)
            if row >= MOVES:
                return True
        return False

    def flaws(self, attempt: Attempt, settle_window: dt.timedelta) -> frozenset[Flaw]:
        """Everything that keeps the balance from proving that an attempt was not charged; none: it proves that."""
        place = next((number for number, level in enumerate(self._levels) if _across(level, attempt)), None)
        if place is None:
            return frozenset({Flaw.MOVED})
        found: set[Flaw] = set()
        later = self._steps[place:]
        if any(self._flawed[place:]) or not all(step.explained for step in later):
            found.add(Flaw.UNEXPLAINED)
        if not any(step.drop > 0 for step in later):
            found.add(Flaw.STILL)
        if self._levels[-1].last_asked < attempt.until + settle_window:
            found.add(Flaw.YOUNG)
        before = self._before(place)
        if before is not None:
            found.add(before)
        return frozenset(found)

    def _before(self, place: int) -> Flaw | None:
        """What is wrong with the charges before a level, looked at from it backwards."""
        moves, refundable = 0, False
        for number in range(place - 1, -1, -1):
            step = self._steps[number]
            if self._flawed[number] or not step.explained:
                return Flaw.UNPROVEN
            moves += step.drop > 0
            refundable |= not step.delivered
            if moves >= MOVES:
                return Flaw.REFUNDABLE if refundable else None
        return Flaw.UNPROVEN


@dataclasses.dataclass(frozen=True, slots=True)
class _Step:
    drop: int
    explained: bool
    delivered: bool


def _step(lower: Level, upper: Level, charges: Sequence[Charge]) -> _Step:
    """From one level to the next one: by how much the balance fell, and whether that is what was charged meanwhile."""
    if lower.amount is None or upper.amount is None or upper.first_asked < lower.last_answered:
        return _Step(0, explained=False, delivered=False)
    drop = lower.amount - upper.amount
    made = [each for each in charges if each.since >= lower.last_answered and each.until <= upper.first_asked]
    known = [each.credits for each in made if each.credits is not None and each.credits > 0]
    explained = len(known) == len(made) and drop == sum(known)
    return _Step(drop, explained, all(each.delivered for each in made))


def _contradicted(level: Level, charges: Sequence[Charge]) -> bool:
    """Whether a message was accepted while the balance stood still: it is charged late, or not at all."""
    return any(each.since < level.last_answered and each.until > level.first_asked for each in charges)


def _across(level: Level, attempt: Attempt) -> bool:
    return level.amount is not None and level.first_answered <= attempt.since and attempt.until <= level.last_asked
