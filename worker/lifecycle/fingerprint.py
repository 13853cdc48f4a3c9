"""The content fingerprint: two messages that a report cannot tell apart have the same one. Pure functions."""

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
"""How many characters of the tolerant form are compared.

A provider may cut a text after its first credit, which is 150 characters. In Spanish some 65 of these are consonants
and digits, so the first 50 of them are there also after such a cut.
"""


def tolerant(text: str) -> str:
    """Return the form in which two texts are compared that are not exactly equal.

    The form has only consonants and digits, in lower case, and only the first 50 of them. A report may show `ñ` and `á`
    as `n` and `a`, as `?` or not at all; it may read UTF-8 as Latin-1, join spaces, change quotes or cut the text. None
    of this changes the form. Vowels and `n` are left out, because nobody knows how the report shows their accents.
    """
    plain = unicodedata.normalize("NFKD", _decoded_again(text)).casefold()
    return _DROPPED.sub("", plain)[:_COMPARED]


def wire_key(phone: str, text: str) -> str:
    """Return the fingerprint of a message's content.

    Two messages have the same one if their phones are equal and their texts have the same tolerant form. A report could
    confuse these two, so only one of them is in flight at a time.
    """
    return hashlib.blake2b(f"{digits(phone)}\n{tolerant(text)}".encode(), digest_size=16).hexdigest()


def digits(phone: str) -> str:
    """Return a phone as ten digits, as the provider knows it; a value that is no phone is returned unchanged."""
    if _TEN_DIGITS.fullmatch(phone):
        return phone  # the form that enqueue stores; to parse it would take a hundred times longer
    try:
        return normalize_phone(phone)
    except InvalidPhone:
        return phone  # stored by a plain INSERT; the message will not be sent


def _decoded_again(text: str) -> str:
    """Return the original text if its UTF-8 was read as Windows-1252 or Latin-1; else the text unchanged."""
    return text if text.isascii() else _MISREAD.sub(_read_again, text)


def _read_again(misread: re.Match[str]) -> str:
    try:
        return b"".join(char.encode("latin-1" if char <= "\xff" else "cp1252") for char in misread[0]).decode()
    except UnicodeError:
        return misread[0]
