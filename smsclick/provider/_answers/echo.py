"""What a provider says, without what it was told: phones, texts and keys that an answer may repeat.

An answer may echo the form word for word, cut, percent-encoded, escaped or in another case. So its words are compared
with those of the message, and whatever both have is taken out; only the words of the manual's own descriptions stay.
"""

from __future__ import annotations

import functools
import html
import re
import unicodedata
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST: Final = 200
"""Characters of a description that is kept."""

HIDDEN: Final = "…"

_MANUAL: Final = (
    "Mensaje enviado",
    "ok",
    "Parámetro APIKEY no definido",
    "Apikey no definida",
    "APIKEY incorrecta",
    "Parametro TELEFONO no valido",
    "Parametro MENSAJE vacio",
    "Saldo insuficiente",
    "El valor ID_REGLA_INTERACTIVA no existe",
    "Identificador de mensaje no válido",
    "Identificador de mensaje no existe",
    "Parametro FECHA_INICIO vacío o formato incorrecto",
    "Parametro FECHA_FIN vacío formato incorrecto",
    "Parametro ESTATUS_MENSAJE formato incorrecto",
    "Parametro ID_CAMPANIA formato incorrecto",
)
_ALIKE: Final = 4
"""So many characters in a row that a word has in common with the message take the word out."""
_DIGITS_ALIKE: Final = 3
_LONGEST_READ: Final = 4000
_LONGEST_WORD: Final = 24
"""No word of Spanish is longer; what is may be the form in some encoding."""
_MANY_DIGITS: Final = re.compile(r"\d(?:[\s().\-]*\d){6,}")
_WORDS: Final = re.compile(r"[^\W_]+")
_ESCAPES: Final = re.compile(r"\\u([0-9a-fA-F]{4})")


def scrub(description: str, hide: Iterable[str]) -> str:
    """Return a description as one short line without phones, keys and texts that the provider may echo.

    Args:
        description: What the provider said.
        hide: The key, the phone, the text and whatever else it was told.

    Returns:
        The line; `…` stands for what was taken out.
    """
    if description in _MANUAL:
        return description
    told = tuple(hide)
    text = _without(_decoded(_without(_line(description[:_LONGEST_READ]), told)), told)
    grams, digits, words = _fingerprint(told)
    text = _WORDS.sub(lambda match: HIDDEN if _is_echo(match[0], grams, digits, words) else match[0], text)
    text = _MANY_DIGITS.sub(HIDDEN, text)
    text = re.sub(rf"{HIDDEN}(?:[^\w{HIDDEN}]*{HIDDEN})+", HIDDEN, text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + HIDDEN


def _line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _without(text: str, told: Iterable[str]) -> str:
    for line in map(_line, told):
        if len(line) >= _ALIKE:
            text = text.replace(line, HIDDEN)
    return text


def _decoded(text: str) -> str:
    """Without the escapes that a form or a page puts on."""
    for _ in range(2):
        text = html.unescape(unquote_plus(text) if "%" in text or "+" in text else text)
        text = _ESCAPES.sub(lambda match: chr(int(match[1], 16)), text)
    return _line(text)


def _fold(text: str) -> str:
    """Only letters and digits, without case and accents."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(c for c in plain if c.isalnum())


def _fingerprint(hide: tuple[str, ...]) -> tuple[set[str], set[str], set[str]]:
    """What words of an echo have: pieces of the folded message, pieces of its digits, and its short words."""
    grams: set[str] = set()
    digits: set[str] = set()
    words: set[str] = set()
    for each in hide:
        folded = _fold(each)
        grams |= _pieces(folded, _ALIKE)
        digits |= _pieces("".join(c for c in folded if c.isdigit()), _DIGITS_ALIKE)
        # What has two letters is a word of every text.
        words |= {word for word in map(_fold, _WORDS.findall(each)) if len(word) > 2 or (word and not word.isalpha())}
    return grams, digits, words


def _is_echo(word: str, grams: set[str], digits: set[str], words: set[str]) -> bool:
    folded = _fold(word)
    if folded in _manual_words():
        return False
    if len(folded) > _LONGEST_WORD or folded in words:
        return True
    numbers = "".join(c for c in folded if c.isdigit())
    return bool(_pieces(folded, _ALIKE) & grams) or bool(_pieces(numbers, _DIGITS_ALIKE) & digits)


def _pieces(text: str, length: int) -> set[str]:
    return {text[start : start + length] for start in range(len(text) - length + 1)}


@functools.cache
def _manual_words() -> frozenset[str]:
    return frozenset(_fold(word) for line in _MANUAL for word in _WORDS.findall(line))
