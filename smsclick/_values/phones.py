"""Mexican phone numbers as the provider wants them: ten digits.

A text to a wrong phone reaches another person. So a phone is accepted only if it can be read in one way: marks between
groups of digits are removed where people usually write them, and everything with another meaning (a decimal point, a
slash, an extension, a second number, brackets at the end) is refused.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
import unicodedata
from typing import TYPE_CHECKING, Any, Final

import phonenumbers

from smsclick._values.refusals import Refusal, RefusalCode
from smsclick.errors import InvalidPhone

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST: Final = 64
"""In characters; no form of a phone needs more."""

_DASHES: Final = re.compile("[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")
_WIDE: Final = {ord(wide): plain for wide, plain in zip("０１２３４５６７８９＋（）．", "0123456789+().", strict=True)}  # noqa: RUF001
"""The characters of East Asian keyboards. NFKC is not used, because it also changes ² and ① to digits."""

_PART: Final = re.compile(r"\+?[0-9]+|[()]| ?- ?|\.| ")
_SHAPE: Final = re.compile(r"\(?d\)?(?:(?:s|(?<=\))|(?=\())\(?d\)?)*")
"""Groups of digits (d), perhaps in brackets, with a separator (s) between them unless there is a bracket."""
_PAIRS: Final = re.compile(r"(?:\(\))*")
_DECIMAL: Final = re.compile(r"[0-9]+[.,][0-9]*|[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?")

_PREFIX: Final = re.compile(r"(?P<abroad>\+|00)?(?P<country>52)?(?P<trunk>044|045|01|1)?")
"""Until 2019 people in Mexico dialled 044 or 045 before a mobile, 01 before a distant number, and 1 after +52."""

_GROUPS: Final = frozenset(
    {
        (10,),
        (5, 5),
        # An area code of two digits first, or of three.
        (2, 8),
        (2, 4, 4),
        (2, 4, 2, 2),
        (2, 2, 2, 4),
        (2, 2, 2, 2, 2),
        (3, 7),
        (3, 3, 4),
        (3, 3, 2, 2),
        (3, 1, 2, 2, 2),
    }
)
"""How the ten digits may be grouped. 4-4-2, 7-3 and the like are a local number with an extension."""

_GROUPS_BEHIND_BRACKETS: Final = frozenset(
    {(8,), (4, 4), (2, 2, 4), (4, 2, 2), (2, 2, 2, 2), (7,), (3, 4), (3, 2, 2), (2, 2, 3), (1, 2, 2, 2)}
)
"""How the other digits may be grouped if brackets mark the area code."""


def normalize_phone(value: str | int) -> str:
    """Return a Mexican number as ten digits, the form that `sendMsg` takes ("TELEFONO: a 10 dígitos").

    The country code (`+52`, `0052`, `52`), the prefixes that Mexico abolished in 2019 (`521`, `044`, `045`, `01`), and
    blanks, dashes, dots and brackets in usual places are removed. Google's numbering data then decides whether the
    number can exist. Mobiles and landlines cannot be told apart in Mexico, so both pass.

    Args:
        value: The number as a person or a program wrote it.

    Returns:
        Ten digits, for example `"5551402211"`.

    Raises:
        InvalidPhone: The value is not a Mexican number, can be read in several ways, or is a number that no SMS
            reaches (800, 900). The line shows at most the last four digits.
    """
    national = _read(value)
    if not _numbering_plan()(national):
        if _unreachable()(national):
            raise _refused(RefusalCode.PHONE_TOLL_FREE, value)
        raise _refused(RefusalCode.PHONE_NOT_IN_USE, value)
    return national


@functools.cache
def _numbering_plan() -> Callable[[str], object]:
    """Match ten digits that are a landline or a mobile: the rule of `phonenumbers.number_type` as one pattern.

    The library tries one pattern after the other, which would take most of the time of a producer of many thousands.
    A test compares the two over the whole numbering plan.
    """
    return _pattern("fixed_line", "mobile")


@functools.cache
def _unreachable() -> Callable[[str], object]:
    """Match ten digits that are a number of another kind, which can be called but not written to."""
    return _pattern("toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "pager", "uan", "voicemail")


def _pattern(*kinds: str) -> Callable[[str], object]:
    plan: Any = phonenumbers.PhoneMetadata.metadata_for_region("MX")
    found = [getattr(plan, kind) for kind in kinds]
    patterns = [kind.national_number_pattern for kind in found if kind and kind.national_number_pattern]
    either = "|".join(f"(?:{pattern})" for pattern in patterns)
    return re.compile(f"(?=(?:{plan.general_desc.national_number_pattern})$)(?:{either})", re.ASCII).fullmatch


def mask_phone(value: object) -> str:
    """Return a phone in a form that may be logged: `…2211`.

    Args:
        value: Anything that should be a phone.

    Returns:
        An ellipsis and the last four digits; only the ellipsis if there are too few digits to hide the others.
    """
    digits = re.sub(r"[^0-9]", "", _bounded(value))
    return f"…{digits[-4:]}" if len(digits) >= 8 else "…"


def _bounded(value: object) -> str:
    """Return the value as text, or an empty text if it is far too long (Python refuses huge integers)."""
    if isinstance(value, int):
        return str(value) if 0 <= value < 10**_LONGEST else ""
    text = str(value)
    return text if len(text) <= _LONGEST else ""


def _read(value: object) -> str:
    """Return the ten digits of a written phone.

    Raises:
        InvalidPhone: as `normalize_phone`, apart from the numbering plan.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidPhone(Refusal.of(RefusalCode.PHONE_TYPE, type=type(value).__name__))
    if isinstance(value, str) and len(value) == 10 and value.isascii() and value.isdigit():
        return value
    text = _plain(_bounded(value))
    if not text:
        raise _refused(RefusalCode.PHONE_EMPTY if value == "" else RefusalCode.PHONE_NO_NUMBER, value)
    if _DECIMAL.fullmatch(text):
        raise _refused(RefusalCode.PHONE_AMOUNT, value)
    writing = _Writing.parse(text)
    if writing is None:
        raise _refused(RefusalCode.PHONE_NO_NUMBER, value)
    prefix = _prefix(writing)
    if prefix is None:
        raise _refused(RefusalCode.PHONE_NOT_MEXICAN, value)
    if not _reads_in_one_way(writing, prefix):
        raise _refused(RefusalCode.PHONE_AMBIGUOUS, value)
    return writing.digits[-10:]


def _refused(code: RefusalCode, value: object) -> InvalidPhone:
    return InvalidPhone(Refusal.of(code, phone=mask_phone(value)))


def _plain(text: str) -> str:
    """Return the text with one kind of blank and of dash, and without the invisible marks of copied text."""
    visible = "".join(c for c in text if unicodedata.category(c) != "Cf").translate(_WIDE)
    return _DASHES.sub("-", " ".join(visible.split()))


@dataclasses.dataclass(frozen=True, slots=True)
class _Writing:
    """The parts of a written phone.

    Attributes:
        digits: All digits, after a `+` if there is one.
        cuts: Where one group ends and the next begins, as the number of digits before it.
        separators: The separator at each cut.
        brackets: Where each pair of brackets begins and ends, in the same way.
    """

    digits: str
    cuts: tuple[int, ...]
    separators: tuple[str, ...]
    brackets: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, text: str) -> _Writing | None:
        """Return the parts, or None if the text has anything other than groups of digits."""
        parts = _PART.findall(text)
        shape = "".join(_kind(part) for part in parts)
        if "".join(parts) != text or not _SHAPE.fullmatch(shape) or not _PAIRS.fullmatch(re.sub("[ds]", "", shape)):
            return None
        digits, cuts, separators = "", [], []
        opened, closed = [], []
        for place, (kind, part) in enumerate(zip(shape, parts, strict=True)):
            if kind == "d":
                if digits:
                    cuts.append(len(digits))
                    between = re.split(r"\d", "".join(parts[:place]))[-1]
                    separators.append(between.strip("()"))
                digits += part
            elif kind == "(":
                opened.append(len(digits))
            elif kind == ")":
                closed.append(len(digits))
        if "+" in digits[1:]:
            return None
        return cls(digits, tuple(cuts), tuple(separators), tuple(zip(opened, closed, strict=True)))


def _kind(part: str) -> str:
    return part if part in "()" else "d" if part[-1].isdigit() else "s"


def _prefix(writing: _Writing) -> set[int] | None:
    """Return where the parts of the prefix end, or None if it is not a Mexican prefix."""
    before = writing.digits[:-10] if len(writing.digits) > 10 else ""
    if len(writing.digits) < 10 or not (match := _PREFIX.fullmatch(before)):
        return None
    abroad, country, trunk = (match[name] or "" for name in ("abroad", "country", "trunk"))
    if abroad and not country:
        return None
    if trunk == "1" and not country:
        return None  # a bare 1 before ten digits is how the United States are dialled, not Mexico
    return {len(abroad), len(abroad + country), len(abroad + country + trunk)}


def _reads_in_one_way(writing: _Writing, prefix: set[int]) -> bool:
    """Return whether groups and brackets are usual for one whole number."""
    start = len(writing.digits) - 10
    if any(cut < start and cut not in prefix for cut in writing.cuts):
        return False
    if writing.cuts and writing.digits.startswith("52") and start >= 2 and not {2, start} & set(writing.cuts):
        return False  # 5245 1513 7125: a country code, or two digits too many
    area = 0
    for begin, end in writing.brackets:
        if begin > start or (begin not in prefix and begin != 0):
            return False
        if end - start in (2, 3):
            area = end - start
        elif end not in prefix or end > start:
            return False
    inside = [(cut - start, mark) for cut, mark in zip(writing.cuts, writing.separators, strict=True) if cut > start]
    marks = [mark for _, mark in inside if mark]
    # A single point is a decimal point. Several points must be the only separators.
    if "." in writing.separators and (writing.separators.count(".") < 2 or set(marks) != {"."}):
        return False
    groups = _lengths([0, *(cut for cut, _ in inside), 10])
    if area:
        return groups[0] == area and groups[1:] in _GROUPS_BEHIND_BRACKETS
    if groups == (2, 2, 2, 2, 2) and len(set(marks)) > 1:
        return False  # eight digits and an extension
    return groups in _GROUPS


def _lengths(cuts: list[int]) -> tuple[int, ...]:
    return tuple(end - begin for begin, end in itertools.pairwise(cuts))
