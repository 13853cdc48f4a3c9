"""No writing reaches a phone that a careful person would not have read there: 100,000 generated ones."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from smsclick._values.phones import normalize_phone
from smsclick.errors import InvalidPhone

if TYPE_CHECKING:
    from collections.abc import Callable

WRITINGS = 100_000
MARKS = [
    *"./,;:-–—_+()[]#*'\"&|=~\\xX²①",  # noqa: RUF001
    "ext",
    " ext. ",
    " o ",
    " y ",
    "\n",
    "\t",
    "\u200b",
    "\u00a0",
    "\u2044",
    "\ufe0f",
]
PREFIXES = [
    "+52",
    "52",
    "0052",
    "00 52",
    "(+52)",
    "(52)",
    "+52 1",
    "+521",
    "521",
    "52 1",
    "044",
    "045",
    "01",
    "(01)",
    "(044)",
]


def phone(rng: random.Random) -> str:
    area = rng.choice(["55", "33", "81", "56", "664", "614", "998", "722", "444", "312"])
    return area + "".join(rng.choice("0123456789") for _ in range(10 - len(area)))


def cut(digits: str, *lengths: int) -> list[str]:
    groups, at = [], 0
    for length in lengths:
        groups.append(digits[at : at + length])
        at += length
    return [*groups, digits[at:]] if digits[at:] else groups


def written(rng: random.Random, number: str) -> str:
    """A number as people write it."""
    area = 2 if number[:2] in {"55", "33", "81", "56"} else 3
    rest = number[area:]
    groups = rng.choice(
        [[rest], cut(rest, area + 2 if area == 2 else 3, 4), cut(rest, *([2] * 4 if area == 2 else [3, 2, 2]))]
    )
    separator = rng.choice([" ", "-", " - ", "\u00a0", "–"])  # noqa: RUF001
    body = rng.choice(
        [
            number,
            separator.join([number[:area], *groups]),
            f"({number[:area]}){rng.choice(['', ' '])}" + separator.join(groups),
            ".".join([number[:area], *groups]) if len(groups) > 1 else number,
        ]
    )
    if rng.random() < 0.5:
        return body
    prefix = rng.choice(PREFIXES)
    return (
        prefix
        + (rng.choice([" ", "-"]) if prefix[-1].isdigit() and body[0].isdigit() else rng.choice(["", " "]))
        + body
    )


# Each returns a writing, and the phone that a careful person reads in it, if any.


def as_it_is(rng: random.Random, number: str) -> tuple[str, str | None]:
    return written(rng, number), number


def with_marks(rng: random.Random, number: str) -> tuple[str, str | None]:
    text = written(rng, number)
    for _ in range(rng.choice([1, 1, 2, 3])):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(MARKS) + text[at:]
    return text, number


def without_some_digits(rng: random.Random, number: str) -> tuple[str, str | None]:
    """Digits of the ten are taken away: of the others, none is left that could stand for them."""
    text = written(rng, number)
    places = [at for at, c in enumerate(text) if c.isdigit()][-10:]
    gone = set(rng.sample(places, rng.choice([1, 1, 2, 3])))
    return "".join(c for at, c in enumerate(text) if at not in gone), None


def with_more_digits(rng: random.Random, number: str) -> tuple[str, str | None]:
    """Anywhere but at the beginning, where they could be a prefix."""
    text = written(rng, number)
    at = rng.choice([place for place, c in enumerate(text) if c.isdigit()][-8:])
    more = "".join(rng.choice("0123456789") for _ in range(rng.choice([1, 2, 3])))
    return text[:at] + more + text[at:], None


def local_with_extension(rng: random.Random, number: str) -> tuple[str, str | None]:
    """Seven or eight digits, as one called within a city, and two or three more."""
    local, extension = rng.choice([(number[:8], number[8:]), (number[:7], number[7:])])
    shapes = [(8,), (4, 4), (2, 2, 2, 2)] if len(local) == 8 else [(7,), (3, 4), (3, 2, 2), (1, 2, 2, 2)]
    inner = rng.choice([" ", "-", "."])
    between = rng.choice([" ", "-", "/", " / ", " x", " ext ", ", ", ".", "#", " - ", ";"])
    shape = rng.choice(shapes)
    if shape == (2, 2, 2, 2) and between == inner:
        between = "/"  # or it would be the ten digits of one number, two by two
    tail = rng.choice([extension, f"({extension})", f"[{extension}]"])
    return inner.join(cut(local, *shape)) + between + tail, None


def as_an_amount(rng: random.Random, number: str) -> tuple[str, str | None]:
    forms: list[Callable[[], str]] = [
        lambda: f"{number[:9]}.{number[9]}",
        lambda: f"{number}.0",
        lambda: f"{number},00",
        lambda: f"{number}.",
        lambda: f"{number[0]}.{number[1:]}E9",
        lambda: f"{int(number):,}",
        lambda: f"{int(number):,}.0",
        lambda: f"{number[: rng.randrange(1, 10)]}.{number[rng.randrange(1, 10) :]}",
        lambda: f"{number[:5]}.{number[5:]}",
        lambda: f"{number[:2]}.{number[2:]}",
        lambda: f"-{number}",
    ]
    return rng.choice(forms)(), None


def two_numbers(rng: random.Random, number: str) -> tuple[str, str | None]:
    other = number[:8] + "99"
    return written(rng, number) + rng.choice(["/", " / ", ", ", ";", " y ", "-", " ", "|"]) + rng.choice(
        [other, other[8:], other[6:]]
    ), None


KINDS = [as_it_is, with_marks, without_some_digits, with_more_digits, local_with_extension, as_an_amount, two_numbers]


def test_no_writing_reaches_a_phone_that_a_careful_person_would_not_have_read_there() -> None:
    rng = random.Random(20_261_126)
    read: Counter[str] = Counter()
    for n in range(WRITINGS):
        kind = KINDS[n % len(KINDS)]
        text, meant = kind(rng, phone(rng))
        try:
            found = normalize_phone(text)
        except InvalidPhone:
            continue
        read[kind.__name__] += 1
        assert found == meant, (kind.__name__, text)
    # What people write is read; and of what has a mark too many, some is still clear.
    assert read["as_it_is"] > 0.99 * WRITINGS / len(KINDS)
    assert 0 < read["with_marks"] < WRITINGS / len(KINDS)
    assert set(read) == {"as_it_is", "with_marks"}


@pytest.mark.parametrize("prefix", ["+52", "52", "0052", "+521", "521", "044", "045", "01"])
def test_of_each_prefix_no_digit_less_makes_another_phone(prefix: str) -> None:
    """Each of the digits, for each area code."""
    for area in range(200, 1000):
        number = f"{area}1402211"
        for at in range(len(prefix + number)):
            text = (prefix + number)[:at] + (prefix + number)[at + 1 :]
            try:
                found = normalize_phone(text)
            except InvalidPhone:
                continue
            assert found == number, text
