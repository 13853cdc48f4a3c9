"""Mexican phone numbers as the provider wants them: ten digits."""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import TYPE_CHECKING, Any, Final

import phonenumbers

from smsclick.errors import InvalidPhone

if TYPE_CHECKING:
    from collections.abc import Callable

_HINT: Final = "give ten digits, for example 5551402211 or +52 55 5140 2211"

_LONGEST: Final = 64
"""No way to write a phone needs more characters."""

_SEPARATORS: Final = re.compile(r"[\s().\-/\u2010-\u2015\u2212\u00b7]+")
"""What people put between digits: spaces, parentheses, dots and every kind of dash."""

_LEGACY: Final = re.compile(r"(?:044|045|01|1)?(\d{10})")
"""Until 2019 Mexico dialled 044 or 045 before a mobile, 01 before a distant number, and 1 after +52."""


def normalize_phone(value: str | int) -> str:
    """Return a Mexican number as ten digits, the form that `sendMsg` takes ("TELEFONO: a 10 dígitos").

    Country code (`+52`, `0052`, `52`), the prefixes that Mexico abolished in 2019 (`521`, `044`, `045`,
    `01`), spaces, parentheses, dots and dashes are taken off; Google's numbering data then says whether such
    a number can exist. Mobiles and landlines cannot be told apart in Mexico, so both pass.

    Args:
        value: The number as a person or a program wrote it.

    Returns:
        Ten digits, for example `"5551402211"`.

    Raises:
        InvalidPhone: It is not a Mexican number. The text shows at most the last four digits.
    """
    national = _national(_plain(value))
    if national is None:
        raise InvalidPhone(f"the phone {mask_phone(value)} is not a Mexican number: {_HINT}")
    if not _numbering_plan()(national):
        raise InvalidPhone(f"the phone {mask_phone(value)} is not in use in Mexico's numbering plan: {_HINT}")
    return national


@functools.cache
def _numbering_plan() -> Callable[[str], object]:
    """Whether ten digits are a number of any kind: what `phonenumbers.is_valid_number` asks, as one pattern.

    The library tries one pattern after the other, and a producer of many thousands would wait for that most of the
    time. A test compares the two over the whole plan.
    """
    plan: Any = phonenumbers.PhoneMetadata.metadata_for_region("MX")
    kinds = [plan.fixed_line, plan.mobile, plan.toll_free, plan.premium_rate, plan.shared_cost, plan.personal_number]
    kinds += [plan.voip, plan.pager, plan.uan, plan.voicemail]
    patterns = [kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern]
    either = "|".join(f"(?:{pattern})" for pattern in patterns)
    return re.compile(f"(?=(?:{plan.general_desc.national_number_pattern})$)(?:{either})", re.ASCII).fullmatch


def mask_phone(value: object) -> str:
    """Return a phone so that it may be logged: `…2211`.

    Args:
        value: Anything that should be a phone.

    Returns:
        An ellipsis and the last four digits; the ellipsis alone when there are too few to hide the rest.
    """
    digits = re.sub(r"[^0-9]", "", _bounded(value))
    return f"…{digits[-4:]}" if len(digits) >= 8 else "…"


def _bounded(value: object) -> str:
    """Return the value as text, or nothing when it is far too long (Python refuses huge integers)."""
    if isinstance(value, int):
        return str(value) if 0 <= value < 10**_LONGEST else ""
    text = str(value)
    return text if len(text) <= _LONGEST else ""


def _plain(value: object) -> str:
    """Return only a possible `+` and ASCII digits, or raise."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidPhone(f"the phone must be text or a whole number, not {type(value).__name__}: {_HINT}")
    if isinstance(value, str) and len(value) == 10 and value.isascii() and value.isdigit():
        return value
    if value == "":
        raise InvalidPhone(f"the phone is empty: {_HINT}")
    # NFKC makes full-width digits and no-break spaces plain; Cf are invisible marks that come with a paste.
    text = unicodedata.normalize("NFKC", _bounded(value))
    text = _SEPARATORS.sub("", "".join(c for c in text if unicodedata.category(c) != "Cf"))
    if not re.fullmatch(r"\+?[0-9]+", text):
        raise InvalidPhone(f"the phone {mask_phone(value)} is not a number: {_HINT}")
    return text


def _national(plain: str) -> str | None:
    """Return the ten national digits, or None where the length or the country says it is something else."""
    if plain.startswith(("+", "00")):
        abroad = plain.lstrip("+").removeprefix("00")
        plain = abroad.removeprefix("52") if abroad.startswith("52") else ""
        match = _LEGACY.fullmatch(plain)
    elif plain.startswith("52") and len(plain) > 10:
        match = _LEGACY.fullmatch(plain.removeprefix("52"))
    else:
        # A bare 1 before ten digits is how the United States are dialled, not Mexico.
        match = None if plain.startswith("1") and len(plain) == 11 else _LEGACY.fullmatch(plain)
    return match.group(1) if match else None
