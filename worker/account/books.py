"""Whether the account's balance proves that an attempt was not charged. Pure functions and values.

The provider charges each message that it accepts. So the balance is evidence beside the report:

1. Before the attempt, the balance fell several times in a row by exactly the credits that the provider's answers named.
   So this account shows each charge.
2. The balance was the same before and after the attempt.
3. After the attempt, each fall is explained by messages whose id is known. So the attempt was not charged later either.

If all three hold, the attempt was not charged. The balance never proves that an attempt was accepted.
What this cannot exclude, and what it is used for: docs/decisions/0040-the-balance-as-a-witness.md.
"""

import dataclasses
import datetime as dt
import enum
import itertools
from collections.abc import Sequence

from worker.reports.matching import Attempt

MOVES = 10
"""How many charges in a row the balance must have shown exactly before an attempt, before an equal balance counts.

An account that pays 0.9 credits for a message, and shows whole credits, shows nine of ten charges exactly. With ten
charges such an account cannot pass.
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
    """A balance that several readings in a row have shown. All times are by the database's clock.

    Attributes:
        amount: in whole credits; None if it could not be read as a whole number.
        first_asked: when the request of the first reading left.
        first_answered: when its answer had come.
        last_asked: when the request of the last reading left.
        last_answered: when its answer had come.
    """

    amount: int | None
    first_asked: dt.datetime
    first_answered: dt.datetime
    last_asked: dt.datetime
    last_answered: dt.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Charge:
    """The charge of a message whose id is known. It was accepted and charged between `since` and `until`.

    Attributes:
        credits: the credits that the provider's answer named; None if it named none.
        delivered: whether the message was delivered. If it was not, the provider may give its credits back later.
    """

    since: dt.datetime
    until: dt.datetime
    credits: int | None
    delivered: bool


class Books:
    """Compares the levels of one account's balance with its charges.

    Args:
        levels: in the order of time.
        charges: all charges since the first level.
    """

    def __init__(self, levels: Sequence[Level], charges: Sequence[Charge]) -> None:
        self._levels = levels
        self._steps = [_step(lower, upper, charges) for lower, upper in itertools.pairwise(levels)]
        self._flawed = [_contradicted(level, charges) for level in levels]

    @property
    def balanced(self) -> bool:
        """Whether the balance has ever shown `MOVES` charges in a row exactly.

        If it has not, it cannot prove anything about any attempt, and older control rows are not needed for it.
        """
        row = 0
        for step, flawed in zip(self._steps, self._flawed, strict=False):
            row = 0 if flawed or not step.explained else row + (step.drop > 0)
            if row >= MOVES:
                return True
        return False

    def flaws(self, attempt: Attempt, settle_window: dt.timedelta) -> frozenset[Flaw]:
        """Return why the balance does not prove that an attempt was not charged; an empty set if it proves it.

        Args:
            attempt: the attempt.
            settle_window: `SMSCLICK_SETTLE_SECONDS`.
        """
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
        """Return what is wrong with the charges before a level; None if there are enough of them and all are exact.

        It goes back from that level, step by step, until it has counted `MOVES` charges.
        """
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
    """Return by how much the balance fell from one level to the next, and whether known charges explain it exactly."""
    if lower.amount is None or upper.amount is None or upper.first_asked < lower.last_answered:
        return _Step(0, explained=False, delivered=False)
    drop = lower.amount - upper.amount
    made = [each for each in charges if each.since >= lower.last_answered and each.until <= upper.first_asked]
    known = [each.credits for each in made if each.credits is not None and each.credits > 0]
    explained = len(known) == len(made) and drop == sum(known)
    return _Step(drop, explained, all(each.delivered for each in made))


def _contradicted(level: Level, charges: Sequence[Charge]) -> bool:
    """Return whether a message was accepted during this level, although the balance did not change.

    Such a message is charged later or never, so the balance does not show each charge.
    """
    return any(each.since < level.last_answered and each.until > level.first_asked for each in charges)


def _across(level: Level, attempt: Attempt) -> bool:
    """Return whether this balance was read both before the attempt began and after it ended."""
    return level.amount is not None and level.first_answered <= attempt.since and attempt.until <= level.last_asked
