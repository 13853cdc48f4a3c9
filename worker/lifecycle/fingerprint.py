"""What two messages that a report could confuse have in common. Pure functions."""

import hashlib
import re
import unicodedata

from smsclick._values.phones import normalize_phone
from smsclick.errors import InvalidPhone

_TEN_DIGITS = re.compile(r"[0-9]{10}")
_DROPPED = re.compile("[^bcdfghjklmpqrstvwxyz0-9]+")
_FOLLOWS = "[\x80-\xbf" + bytes(range(0x80, 0xA0)).decode("cp1252", "ignore") + "]"
_MISREAD = re.compile(f"[\xc2-\xdf]{_FOLLOWS}|[\xe0-\xef]{_FOLLOWS}{{2}}|[\xf0-\xf4]{_FOLLOWS}{{3}}")
_COMPARED = 50
"""Characters of the tolerant form that are compared.

A provider may cut a text after its first credit (150), of which some 65 are consonants and digits in Spanish.
"""


def tolerant(text: str) -> str:
    """The form in which texts are compared where they are not equal to the letter.

    Only consonants and digits, without case, and only the first 50 of them: what remains when a provider writes `ñ`
    and `á` as `n` and `a`, as `?` or not at all, reads UTF-8 as Latin-1, folds spaces, changes quotes or cuts. Vowels
    and `n` are left out because what becomes of their accents is not known.
    """
    plain = unicodedata.normalize("NFKD", _decoded_again(text)).casefold()
    return _DROPPED.sub("", plain)[:_COMPARED]


def wire_key(phone: str, text: str) -> str:
    """What two messages that a report could confuse have in common: equal phones, and texts of equal tolerant form."""
    return hashlib.blake2b(f"{digits(phone)}\n{tolerant(text)}".encode(), digest_size=16).hexdigest()


def digits(phone: str) -> str:
    """A phone as the provider knows it, or as it is where it is none."""
    if _TEN_DIGITS.fullmatch(phone):
        return phone  # as enqueue stores it; parsing costs a hundred times more
    try:
        return normalize_phone(phone)
    except InvalidPhone:
        return phone  # of a plain INSERT; it will not be sent


def _decoded_again(text: str) -> str:
    """The text before its UTF-8 was read as Windows-1252 or Latin-1, where that is what happened."""
    return text if text.isascii() else _MISREAD.sub(_read_again, text)


def _read_again(misread: re.Match[str]) -> str:
    try:
        return b"".join(char.encode("latin-1" if char <= "\xff" else "cp1252") for char in misread[0]).decode()
    except UnicodeError:
        return misread[0]
