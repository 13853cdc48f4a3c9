"""The text of a message: what may be sent, and what it costs."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from smsclick._values.refusals import Refusal, RefusalCode
from smsclick.errors import InvalidText

MAX_TEXT_LENGTH: Final = 1530
"""In characters. The manual gives no limit; this is ten joined SMS of 153 characters. The limit prevents a pasted
document from using up the account's balance."""

CHARACTERS_PER_CREDIT: Final = 150
"""From the manual, `creditos_usados`: "Después de 150 caracteres se cobrarán créditos adicionales"."""

_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]|\r(?!\n)")
"""Control characters except tab and line ends, and halves of surrogate pairs (which UTF-8 cannot carry)."""


_VISIBLE: Final = frozenset("LNPS")
"""The first letters of the general categories of letters, numbers, punctuation and symbols. Marks need one of these to
stand on; separators, controls, format characters, private use and what is not assigned show nothing by themselves."""

_BLANK: Final = frozenset("\u115f\u1160\u3164\uffa0\u2800\ufffc")
"""Letters and symbols that show nothing: the Hangul fillers (Default_Ignorable_Code_Point), the Braille pattern without
a dot, and the place of an object that is not there."""


def clean_text(value: str) -> str:
    """Return the text if it can be sent, exactly as it came.

    A text is never changed: a text that cannot be sent is refused, so that the provider's report shows the given text.

    Args:
        value: The text of a message.

    Returns:
        The same text.

    Raises:
        InvalidText: The value is not text, has no visible character, is longer than `MAX_TEXT_LENGTH`, or has a
            control character other than tab and line end, or half a surrogate pair. The line does not show the text.
    """
    given: object = value
    if not isinstance(given, str):
        raise InvalidText(Refusal.of(RefusalCode.TEXT_TYPE, type=type(given).__name__))
    if not any(map(_is_visible, given)):
        raise InvalidText(Refusal.of(RefusalCode.TEXT_INVISIBLE if given.strip() else RefusalCode.TEXT_EMPTY))
    if len(given) > MAX_TEXT_LENGTH:
        raise InvalidText(Refusal.of(RefusalCode.TEXT_TOO_LONG, count=len(given), most=MAX_TEXT_LENGTH))
    # No printable character is forbidden, and `isprintable` is faster than the pattern.
    if not given.isprintable() and (found := _FORBIDDEN.search(given)):
        character = f"U+{ord(found[0]):04X}"
        raise InvalidText(Refusal.of(RefusalCode.TEXT_CHARACTER, character=character, position=found.start() + 1))
    return given


def _is_visible(character: str) -> bool:
    if character.isascii():
        return "!" <= character <= "~"
    return unicodedata.category(character)[0] in _VISIBLE and character not in _BLANK


def predict_credits(text: str) -> int:
    """Return how many credits the provider will probably charge for a text.

    The manual charges one credit, and more "after 150 characters". This counts one credit for each 150 characters
    begun. The provider's answer says what is really charged (`creditos_usados`).

    Args:
        text: The text of a message.

    Returns:
        Credits, at least 1.
    """
    return max(1, -(-len(text) // CHARACTERS_PER_CREDIT))
