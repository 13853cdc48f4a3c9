"""Guesses of passwords: each way of spreading them over names and addresses comes to its end."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from web.pages.sign_in import SignInLimits
from web.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST = 1000


def tries(limits: SignInLimits, guesses: Iterable[tuple[str, str]]) -> int:
    """How many of these names and addresses fail before one is refused unread."""
    for number, (name, address) in enumerate(guesses):
        try:
            limits.check(name, address)
        except ProblemError:
            return number
        limits.failed(name, address)
    raise AssertionError("none was refused")


@pytest.mark.parametrize(
    ("names", "addresses", "fewest"),
    [
        (["ana"], ["10.0.0.1"], 5),
        (["ana"], [f"10.0.0.{each}" for each in range(MOST)], 30),
        ([f"name {each}" for each in range(MOST)], ["10.0.0.1"], 30),
    ],
    ids=["one name from one address", "one name from many addresses", "many names from one address"],
)
def test_guesses_come_to_an_end_and_others_may_go_on(names: list[str], addresses: list[str], fewest: int) -> None:
    limits = SignInLimits()
    guesses = zip(itertools.cycle(names), itertools.cycle(addresses), strict=False)
    # A few more where time passes between them.
    assert fewest <= tries(limits, itertools.islice(guesses, MOST)) < fewest + 20
    limits.check("eva", "10.1.1.1")
