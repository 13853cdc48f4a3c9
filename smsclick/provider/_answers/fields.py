"""The fields of an answer, each read as what the manual says it is, in every form in which it may come.

Every function takes what the JSON holds, None where the name is absent, and returns None if that cannot be read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from smsclick._values.phones import normalize_phone
from smsclick.errors import InvalidPhone
from smsclick.provider._answers.echo import scrub
from smsclick.provider._answers.json_body import JsonFloat, JsonObject
from smsclick.provider.codes import Estatus

if TYPE_CHECKING:
    from collections.abc import Iterable

_CODE: Final = re.compile(r"0|-?[1-9][0-9]{0,9}")
_DIGITS: Final = re.compile(r"([0-9]{1,19})(?:\.0{1,20})?")
_NOT_STORABLE: Final = re.compile(r"[\x00\ud800-\udfff]")
_LONGEST_FOREIGN_PHONE: Final = 20


def read_codigo(reply: JsonObject) -> int | None:
    """Return the answer's code. Only the manual's own spelling of `codigo` counts, because too much depends on it."""
    return _read_code(reply.get("codigo")) if "codigo" in reply.names else None


def _read_code(value: object) -> int | None:
    if isinstance(value, str) and _CODE.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, JsonFloat):
        value = value.whole
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if abs(value) < 2**31 else None


def read_id(value: object) -> int | None:
    """Return an `id_mensaje`, which is positive and below 2**63."""
    if isinstance(value, str) and (match := _DIGITS.fullmatch(value.strip())):
        value = int(match[1])
    if isinstance(value, JsonFloat):
        value = value.whole
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value < 2**63 else None


def read_estatus(value: object) -> Estatus | None:
    """Return an `estatus_mensaje`, which is one of 0 to 4."""
    number = _read_code(value)
    return Estatus(number) if number is not None and 0 <= number <= 4 else None


def read_phone(value: object) -> str | None:
    """Return a phone as ten digits, or as its digits if it is not a Mexican number.

    The provider writes phones as numbers, and the account's other messages may have gone to any country.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = value if isinstance(value, str) else str(value)
    if len(text) == 10 and text.isascii() and text.isdigit():
        return text
    try:
        return normalize_phone(text)
    except InvalidPhone:
        return re.sub(r"[^0-9]", "", text)[:_LONGEST_FOREIGN_PHONE] or None


def read_text(value: object) -> str | None:
    """Return a text that a database can store. A text of digits only may come as a number, as phones do."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = value.literal if isinstance(value, JsonFloat) else str(value)
    return _NOT_STORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def read_optional_text(value: object) -> str | None:
    """Return a text that may be absent: null, empty, or the text "NULL" of the manual's `respuesta`."""
    text = (read_text(value) or "").strip()
    return None if text.upper() in ("", "NULL") else text


def read_description(value: object, hide: Iterable[str]) -> str:
    """Return a `descripcion` as one short line without phones, keys and texts that the provider may echo.

    Args:
        value: What the JSON holds.
        hide: What the provider was sent.

    Returns:
        The line; empty if there is no text.
    """
    return scrub(value, hide) if isinstance(value, str) else ""
