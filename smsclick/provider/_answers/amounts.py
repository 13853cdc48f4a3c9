"""Amounts as a provider may write them: a number, or text with separators of thousands and decimals.

Mexico writes 1,200.50. If a text can be read in two ways, the smaller amount counts: `1.200` is a little over 1.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Final

_UPPER_BOUND: Final = Decimal(2**63)
_MAX_CHARACTERS: Final = 40
_CURRENCY: Final = re.compile(r"(?:\$|MXN)\s*|\s*(?:cr[eé]ditos?|MXN)\.?", re.IGNORECASE)
_FORMS: Final = (
    # 1200232, 1200232.50
    (re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?"), ""),
    # 1,200,232.50, 1 200 232.50, 1'200'232
    (re.compile(r"[+-]?[0-9]{1,3}(?:([,' ])[0-9]{3})(?:\1[0-9]{3})*(?:\.[0-9]+)?"), ",' "),
    # 1.200.232,50, 1.200,50
    (re.compile(r"[+-]?[0-9]{1,3}(?:\.[0-9]{3})(?:(?:\.[0-9]{3})+(?:,[0-9]+)?|,[0-9]+)"), "."),
    # 1200,5
    (re.compile(r"[+-]?[0-9]+,[0-9]{1,2}"), ""),
)


def parse_amount(value: object) -> Decimal | None:
    """Read an amount.

    Args:
        value: What the JSON holds: a number or a text.

    Returns:
        The amount, or None if the value is not one.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        return _parse_text(value)
    if isinstance(value, int):
        return Decimal(value) if abs(value) < _UPPER_BOUND else None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and abs(amount) < _UPPER_BOUND else None


def _parse_text(value: str) -> Decimal | None:
    if len(value) > _MAX_CHARACTERS:
        return None
    text = " ".join(value.split())  # also no-break spaces
    sign = text[:1] if text[:1] in {"+", "-"} else ""
    text = sign + _CURRENCY.sub("", text.removeprefix(sign)).strip()
    for form, thousands in _FORMS:
        if form.fullmatch(text):
            plain = "".join(c for c in text if c not in thousands).replace(",", ".")
            amount = Decimal(plain)
            return amount if abs(amount) < _UPPER_BOUND else None
    return None
