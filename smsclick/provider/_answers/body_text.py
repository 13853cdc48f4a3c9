"""A body's text, whatever its encoding, and without the quotes that the manual's own sample of a report has.

The manual names no encoding, and its samples are full of accents: UTF-8 is tried first, then Windows-1252, then
Latin-1, which reads every byte.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

_QUOTED: Final = '"{""'
"""How a report begins that is one quoted CSV cell, its quotes doubled, as in the manual's sample."""
_UNDECIDED_END: Final = re.compile(r'["\s]*\Z')
_LEGACY_BYTES: Final = "smsclick-legacy"


def decode(body: bytes) -> str:
    """Return a whole body as text. All of it is read with the first encoding that can read all of it."""
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return body.decode(encoding)
        except UnicodeDecodeError:
            continue
    return body.decode("latin-1")


def unquote(text: str) -> str:
    """Return a whole text, or what is quoted in it as one CSV cell."""
    return text.rstrip()[1:-1].replace('""', '"') if text.startswith(_QUOTED) else text


class TextStream:
    """Decodes and unquotes a body that comes in pieces. Bytes that are not UTF-8 are read as Windows-1252."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")(_LEGACY_BYTES)
        self._is_quoted: bool | None = None
        self._pending = ""

    def feed(self, piece: bytes) -> str:
        """Return the text that a piece completes; it may be empty.

        Args:
            piece: The next bytes of the body.
        """
        return self._unquote(self._decoder.decode(piece), final=False)

    def close(self) -> str:
        """Return the rest of the text, because the body has ended."""
        return self._unquote(self._decoder.decode(b"", final=True), final=True)

    def _unquote(self, text: str, *, final: bool) -> str:
        if self._is_quoted is None:
            text = self._pending + text
            self._pending = ""
            if len(text) < len(_QUOTED) and not final:
                self._pending = text
                return ""
            self._is_quoted = text.startswith(_QUOTED)
            text = text[self._is_quoted :]
        if not self._is_quoted:
            return text
        text = self._pending + text
        if final:
            return text.rstrip()[:-1].replace('""', '"')
        # A pair of quotes may be divided between two pieces, and the last quote is no part of the JSON.
        undecided = _UNDECIDED_END.search(text)
        cut = undecided.start() if undecided else len(text)
        self._pending = text[cut:]
        return text[:cut].replace('""', '"')


def _read_legacy(error: UnicodeError) -> tuple[str, int]:
    """Read bytes that are not UTF-8 as Windows-1252, or as Latin-1 if that has no such character."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    wrong = error.object[error.start : error.end]
    try:
        return wrong.decode("cp1252"), error.end
    except UnicodeDecodeError:
        return wrong.decode("latin-1"), error.end


codecs.register_error(_LEGACY_BYTES, _read_legacy)
