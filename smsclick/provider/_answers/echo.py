"""Removes phones, texts and keys from a description, because an answer may repeat what the provider was sent.

An answer may echo the form unchanged, cut, percent-encoded, escaped or in another case. So its words are compared with
those of the message, and every word that both have is removed, except the words of the manual's own descriptions.
The decision is docs/decisions/0028.
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

MAX_CHARACTERS: Final = 200
"""Of a description that is kept."""

HIDDEN: Final = "…"
"""Replaces what is removed."""

_MANUAL_DESCRIPTIONS: Final = (
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
_COMMON_CHARACTERS: Final = 4
"""A word is removed if it has this many characters in a row in common with the message."""
_COMMON_DIGITS: Final = 3
"""The same for its digits alone."""
_CHARACTERS_READ: Final = 4000
_LONGEST_WORD_CHARACTERS: Final = 24
"""No word of Spanish is longer; a longer one may be the form in some encoding."""
_MANY_DIGITS: Final = re.compile(r"\d(?:[\s().\-]*\d){6,}")
_WORDS: Final = re.compile(r"[^\W_]+")
_ESCAPES: Final = re.compile(r"\\u([0-9a-fA-F]{4})")


def scrub(description: str, hide: Iterable[str]) -> str:
    """Return a description as one short line without phones, keys and texts that the provider may echo.

    Args:
        description: The provider's.
        hide: The key, the phone, the text and everything else that the provider was sent.

    Returns:
        The line, with `…` in place of what was removed.
    """
    if description in _MANUAL_DESCRIPTIONS:
        return description
    sent = tuple(hide)
    text = _without(_decoded(_without(_line(description[:_CHARACTERS_READ]), sent)), sent)
    grams, digits, words = _fingerprint(sent)
    text = _WORDS.sub(lambda match: HIDDEN if _is_echo(match[0], grams, digits, words) else match[0], text)
    text = _MANY_DIGITS.sub(HIDDEN, text)
    text = re.sub(rf"{HIDDEN}(?:[^\w{HIDDEN}]*{HIDDEN})+", HIDDEN, text)
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + HIDDEN


def _line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _without(text: str, sent: Iterable[str]) -> str:
    for line in map(_line, sent):
        if len(line) >= _COMMON_CHARACTERS:
            text = text.replace(line, HIDDEN)
    return text


def _decoded(text: str) -> str:
    """Return a text without the escapes of a form, of HTML or of JSON."""
    for _ in range(2):
        text = html.unescape(unquote_plus(text) if "%" in text or "+" in text else text)
        text = _ESCAPES.sub(lambda match: chr(int(match[1], 16)), text)
    return _line(text)


def _fold(text: str) -> str:
    """Return a text's letters and digits, without case and accents."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(c for c in plain if c.isalnum())


def _fingerprint(hide: tuple[str, ...]) -> tuple[set[str], set[str], set[str]]:
    """Return what marks a word as an echo: pieces of the folded message, pieces of its digits, and its short words."""
    grams: set[str] = set()
    digits: set[str] = set()
    words: set[str] = set()
    for each in hide:
        folded = _fold(each)
        grams |= _pieces(folded, _COMMON_CHARACTERS)
        digits |= _pieces("".join(c for c in folded if c.isdigit()), _COMMON_DIGITS)
        # Words of one or two letters occur in every text.
        words |= {word for word in map(_fold, _WORDS.findall(each)) if len(word) > 2 or (word and not word.isalpha())}
    return grams, digits, words


def _is_echo(word: str, grams: set[str], digits: set[str], words: set[str]) -> bool:
    folded = _fold(word)
    if folded in _manual_words():
        return False
    if len(folded) > _LONGEST_WORD_CHARACTERS or folded in words:
        return True
    numbers = "".join(c for c in folded if c.isdigit())
    return bool(_pieces(folded, _COMMON_CHARACTERS) & grams) or bool(_pieces(numbers, _COMMON_DIGITS) & digits)


def _pieces(text: str, length: int) -> set[str]:
    return {text[start : start + length] for start in range(len(text) - length + 1)}


@functools.cache
def _manual_words() -> frozenset[str]:
    return frozenset(_fold(word) for line in _MANUAL_DESCRIPTIONS for word in _WORDS.findall(line))
