"""What a form brings back unchanged: packed and sealed for the session, so the server need not keep it.

The seal is made from the session's own token: another session, a later sign-in or a changed value does not open it.
"""

import base64
import binascii
import hashlib
import hmac
import zlib
from typing import Final

from web.pages.people import PageError, Person

_MOST_BYTES: Final = 3_200_000
"""Of what was packed: a small form must not become a large value."""


def pack(person: Person, purpose: str, value: bytes) -> str:
    """Return a value as a field of a form.

    Args:
        person: only this one's session opens it.
        purpose: what it is for; a field of another purpose does not open.
        value: any bytes, at most 3 MB.
    """
    return f"{_seal(person, purpose, value)}.{base64.urlsafe_b64encode(zlib.compress(value)).decode('ascii')}"


def unpack(person: Person, purpose: str, field: str) -> bytes:
    """Return the value of a field.

    Raises:
        PageError: it is not what `pack` returned for the person's session and this purpose.
    """
    seal, _, packed = field.partition(".")
    opened = zlib.decompressobj()
    try:
        value = opened.decompress(base64.urlsafe_b64decode(packed), _MOST_BYTES)
    except (binascii.Error, ValueError, zlib.error):
        raise PageError(403, "csrf") from None
    if not opened.eof or not hmac.compare_digest(seal.encode(), _seal(person, purpose, value).encode()):
        raise PageError(403, "csrf")
    return value


def _seal(person: Person, purpose: str, value: bytes) -> str:
    return hmac.new(person.csrf.encode(), purpose.encode() + b"\0" + value, hashlib.sha256).hexdigest()
