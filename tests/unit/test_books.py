"""The balance as a second witness: it never speaks for an attempt that was accepted, and each condition is needed.

A small provider is walked through minute by minute: its balance is read at the begin of each minute, messages go in the
middle of some. One thing at a time is unusual about it; all combinations of where that happens are tried.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import itertools
import math
from typing import TYPE_CHECKING

import pytest

from worker.account.books import MOVES, Books, Charge, Flaw, Level
from worker.reports.matching import Attempt

if TYPE_CHECKING:
    from collections.abc import Iterator

NOON = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
WINDOW_MINUTES = 5
SETTLE = dt.timedelta(minutes=WINDOW_MINUTES)
EVERY = 2
"""Minutes from one message to the next."""


@dataclasses.dataclass(frozen=True)
class World:
    """An account, and what is unusual about it. Times are minutes.

    Attributes:
        before: charged messages before the attempt; they go at 0.5, 2.5, 4.5, ….
        after: how many go after it.
        accepted: whether the attempt was.
        accepted_late: by so much.
        read_until: minutes after the attempt at which the balance is read last.
        share: of each credit that is really charged; the account shows whole credits.
        step: the balance is shown as a multiple of this.
        free: messages that cost nothing; the attempt is number `before`.
        delay: charges show so much later.
        stalls: from this time on nothing moves until `stalls_until`.
        others: when another system uses a credit.
        refund: which message was not delivered, and when its credit comes back.
        topped_up: when the balance grows by a hundred.
        unreadable: at which minute the balance could not be read.
    """

    before: int = MOVES
    after: int = 2
    accepted: bool = True
    accepted_late: float = 0
    read_until: int = WINDOW_MINUTES + 2
    share: float = 1
    step: int = 1
    free: frozenset[int] = frozenset()
    delay: float = 0
    stalls: float = math.inf
    stalls_until: float = math.inf
    others: float | None = None
    refund: tuple[int, float] | None = None
    topped_up: float | None = None
    unreadable: int | None = None

    @property
    def tried_at(self) -> float:
        return self.before * EVERY + 0.5

    def flaws(self) -> frozenset[Flaw]:
        tried = self.tried_at
        known = [number * EVERY + 0.5 for number in range(self.before + 1 + self.after) if number != self.before]
        others_sent = [(at, number) for number, at in enumerate(known) if number < self.before]
        others_sent += [(at, number + 1) for number, at in enumerate(known) if number >= self.before]
        moves = [(self._shown(at), -self.share) for at, number in others_sent if number not in self.free]
        if self.accepted and self.before not in self.free:
            moves.append((self._shown(tried + self.accepted_late), -self.share))
        if self.others is not None:
            moves.append((self.others, -1))
        if self.refund is not None:
            moves.append((self.refund[1], 1))
        if self.topped_up is not None:
            moves.append((self.topped_up, 100))
        levels: list[Level] = []
        for minute in range(int(tried) + self.read_until + 1):
            shown = 1000 + sum(amount for at, amount in moves if at < minute)
            amount = None if minute == self.unreadable else math.floor(round(shown, 6)) // self.step * self.step
            asked, answered = time_at(minute), time_at(minute) + SECOND
            if levels and levels[-1].amount == amount:
                levels[-1] = dataclasses.replace(levels[-1], last_asked=asked, last_answered=answered)
            else:
                levels.append(Level(amount, asked, answered, asked, answered))
        undelivered = None if self.refund is None else self.refund[0]
        read = time_at(int(tried) + self.read_until)
        charges = [
            Charge(time_at(at), time_at(at) + SECOND, 1, number != undelivered)
            for at, number in others_sent
            if time_at(at) < read
        ]
        attempt = Attempt(1, "5551402211", "hola", time_at(tried), time_at(tried) + SECOND)
        return Books(levels, charges).flaws(attempt, SETTLE)

    def _shown(self, at: float) -> float:
        return self.stalls_until if self.stalls <= at < self.stalls_until else at + self.delay


def time_at(minute: float) -> dt.datetime:
    return NOON + dt.timedelta(minutes=minute)


def places(world: World) -> Iterator[float]:
    """The middle of each minute."""
    return (minute + 0.75 for minute in range(int(world.tried_at) + world.read_until + 2))


def unusual() -> Iterator[World]:
    """Every world with one unusual thing."""
    plain = World()
    messages = range(plain.before + 1 + plain.after)
    yield from (World(before=before, after=after) for before in range(MOVES + 3) for after in range(3))
    yield from (World(accepted_late=late) for late in range(WINDOW_MINUTES + 1))
    yield from (World(read_until=minutes, accepted_late=late) for minutes in range(9) for late in range(WINDOW_MINUTES))
    yield from (
        World(before=MOVES + more, share=share) for more in range(11) for share in (0, 0.1, 0.25, 0.5, 0.75, 0.8, 0.9)
    )
    yield from (World(before=MOVES + more, step=step) for more in range(11) for step in (2, 5, 10, 100))
    yield World(free=frozenset(messages))
    yield from (World(free=frozenset({number})) for number in messages)
    yield from (World(free=frozenset({number, plain.before})) for number in range(plain.before))
    yield from (World(delay=delay) for delay in (0.3, 0.6, 1, 2, 2.5, 4, 6, 10, 60))
    yield from (
        World(stalls=begin, stalls_until=end, after=after)
        for begin, end in itertools.product(range(0, 30, EVERY), [*places(plain), math.inf])
        for after in (0, 1, 2)
        if begin < end
    )
    yield from (World(others=at) for at in places(plain))
    yield from (
        World(refund=(number, at))
        for number in messages
        for at in places(plain)
        if number != plain.before and at > number * EVERY + 0.5
    )
    yield from (World(topped_up=at) for at in places(plain))
    yield from (World(unreadable=minute) for minute in range(int(plain.tried_at) + plain.read_until + 1))


@functools.cache
def judged() -> dict[World, frozenset[Flaw]]:
    """What the books say of each."""
    return {world: world.flaws() for world in unusual()}


UNCHARGED = frozenset({MOVES})
"""The attempt was accepted without a charge: no balance can show that."""


def test_an_attempt_that_was_not_accepted_is_proven_by_books_that_balance() -> None:
    assert World(accepted=False).flaws() == frozenset()
    assert World(accepted=False, before=MOVES + 5, after=1).flaws() == frozenset()
    assert World(accepted=False, before=MOVES + 5, after=4, read_until=60).flaws() == frozenset()


def test_an_attempt_that_was_accepted_and_charged_is_never_proven_absent_whatever_one_thing_is_unusual() -> None:
    assert len(judged()) > 1000
    fooled = [world for world, flaws in judged().items() if not flaws and world.free != UNCHARGED]
    assert fooled == []


NEEDED = {
    Flaw.MOVED: World(),
    Flaw.UNEXPLAINED: World(stalls=MOVES * EVERY, stalls_until=MOVES * EVERY + 1.75),
    Flaw.STILL: World(stalls=MOVES * EVERY, after=0),
    Flaw.UNPROVEN: World(before=MOVES - 1, share=0.9),
    Flaw.REFUNDABLE: World(refund=(MOVES - 3, MOVES * EVERY + 0.75)),
    Flaw.YOUNG: World(accepted_late=WINDOW_MINUTES - 0.25, read_until=3, after=1),
}


@pytest.mark.parametrize("flaw", Flaw)
def test_each_condition_alone_stands_between_an_accepted_attempt_and_a_second_message(flaw: Flaw) -> None:
    """The reverse: without this condition the books would prove absent what was accepted."""
    assert NEEDED[flaw].accepted
    assert NEEDED[flaw].flaws() == {flaw}


def test_an_account_that_pays_nine_tenths_shows_nine_of_ten_charges_exactly_and_so_ten_are_asked_for() -> None:
    worlds = [World(before=before, share=0.9) for before in range(MOVES, MOVES + 11)]
    assert all(world.flaws() for world in worlds)


@pytest.mark.parametrize("credits_used", [None, 0, 2])
def test_a_charge_that_is_not_known_or_nothing_explains_no_move(credits_used: int | None) -> None:
    levels = [Level(10 - n, *(time_at(2 * n + after) for after in (0, 0.1, 1, 1.1))) for n in range(2)]
    charge = Charge(time_at(1.5), time_at(1.6), credits_used, delivered=True)
    attempt = Attempt(1, "5551402211", "hola", time_at(0.5), time_at(0.6))
    assert Flaw.UNEXPLAINED in Books(levels, [charge]).flaws(attempt, SETTLE)
    assert Flaw.UNEXPLAINED not in Books(levels, [dataclasses.replace(charge, credits=1)]).flaws(attempt, SETTLE)


def test_levels_whose_times_overlap_prove_nothing() -> None:
    levels = [Level(10, *[time_at(n) for n in range(4)]), Level(9, *[time_at(n) for n in (2, 5, 5, 6)])]
    attempt = Attempt(1, "5551402211", "hola", time_at(1.2), time_at(1.8))
    assert Flaw.UNEXPLAINED in Books(levels, []).flaws(attempt, SETTLE)
