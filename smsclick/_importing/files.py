"""Read the bytes of a file as numbered lines of text, in the encodings that programs use.

The bytes of UTF-8 and UTF-16 prove the encoding. Older programs write Windows-1252 (or Latin-1, which is nearly the
same). Nothing proves that encoding, so it is accepted only if the text is Spanish as people write it. A file is
accepted as a whole or refused as a whole, because half of the recipients must not get garbled names.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import re
import tempfile
from collections import deque
from typing import IO, TYPE_CHECKING, BinaryIO, Final

from smsclick._values.refusals import Refusal, RefusalCode
from smsclick.errors import InvalidField

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LONGEST_LINE: Final = 64 * 1024
"""In characters. No message needs more, and a file without line ends must not fill the memory."""

_BLOCK: Final = 1024 * 1024
_IN_MEMORY: Final = 16 * 1024 * 1024

_LETTERS: Final = "áéíóúüñÁÉÍÓÚÜÑçÇàèìòùÀÈÌÒÙâêîôûÂÊÎÔÛäëïöÄËÏÖãõÃÕ"
_SIGNS: Final = "¿¡«“‘–—€"  # noqa: RUF001 - what people type
_ENDS: Final = "»”’…ºª°®©™·"  # noqa: RUF001 - as above
_EXPECTED: Final = frozenset(_LETTERS + _SIGNS + _ENDS)
_TWO_ENCODINGS: Final = re.compile(b"[\xc2\xc3][\x80-\xbf]")
"""The bytes of accented letters in UTF-8. Windows-1252 reads them as Ã and a sign, which is no Spanish."""
_ODD: Final = re.compile(f"[A-Za-z][{_SIGNS}{_ENDS}][A-Za-z]|[A-Za-z][{_SIGNS}]")
"""Signs in the middle or at the end of words are letters of an older encoding (CP850, MacRoman)."""


@contextlib.contextmanager
def opened(stream: BinaryIO) -> Iterator[Lines]:
    """Yield the lines of a file.

    Args:
        stream: The bytes. A stream that cannot be read twice, like a pipe, is first copied to a temporary file without
            a name.

    Raises:
        InvalidField: The encoding cannot be recognised, or it is not supported.
    """
    with _seekable(stream) as file:
        encoding = _encoding(file)
        file.seek(0)
        text = io.TextIOWrapper(file, encoding=encoding, newline=_line_end(file, encoding))
        try:
            yield Lines(text)
        finally:
            text.detach()


class Lines:
    """Numbered lines, some of which may be read again."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._waiting: deque[tuple[int, str | None]] = deque()
        self._number = 0

    def next(self) -> tuple[int, str | None] | None:
        """Return the next line with its number, with None for a line that is too long; return None at the end."""
        if self._waiting:
            return self._waiting.popleft()
        line = self._text.readline(LONGEST_LINE)
        if not line:
            return None
        self._number += 1
        if len(line) >= LONGEST_LINE and not line.endswith(("\n", "\r")):
            while line and not line.endswith(("\n", "\r")):
                line = self._text.readline(LONGEST_LINE)
            return self._number, None
        return self._number, line

    def read_again(self, lines: Sequence[tuple[int, str | None]]) -> None:
        """Return these lines again, before all others."""
        self._waiting.extendleft(reversed(lines))

    def peek_content(self) -> str | None:
        """Return the first line that is not blank, and drop the blank ones before it; None if there is none."""
        while (line := self.next()) is not None:
            if line[1] is None or line[1].strip():
                self.read_again([line])
                return line[1] or ""
        return None


@contextlib.contextmanager
def _seekable(stream: BinaryIO) -> Iterator[IO[bytes]]:
    if stream.seekable():
        yield stream
        return
    with tempfile.SpooledTemporaryFile(_IN_MEMORY, prefix="smsclick-") as copy:
        while block := stream.read(_BLOCK):
            copy.write(block)
        copy.seek(0)
        yield copy


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while block := file.read(_BLOCK):
        yield block


def _encoding(file: IO[bytes]) -> str:
    file.seek(0)
    head = file.read(64)
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise InvalidField(Refusal.of(RefusalCode.FILE_UTF_32))
    for candidate in _utf16(head):
        if _decodes(file, candidate):
            return candidate
        raise InvalidField(Refusal.of(RefusalCode.FILE_UTF_16_BROKEN))
    if _decodes(file, "utf-8"):
        return "utf-8-sig"
    if (why := _not_windows(file)) is not None:
        raise InvalidField(Refusal.of(why))
    return "cp1252"


def _utf16(head: bytes) -> list[str]:
    """Recognise UTF-16 by its mark, or by the zeros that it puts beside each letter of the first words."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ["utf-16"]
    if len(head) >= 8 and not any(head[1:16:2]) and all(head[0:16:2]):
        return ["utf-16-le"]
    if len(head) >= 8 and not any(head[0:16:2]) and all(head[1:16:2]):
        return ["utf-16-be"]
    return []


def _decodes(file: IO[bytes], encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for block in _blocks(file):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _not_windows(file: IO[bytes]) -> RefusalCode | None:
    """Return why a file that is not UTF-8 is not surely Windows-1252 either; None if it is."""
    before = ""
    letters = False
    last = b""
    for block in _blocks(file):
        if _TWO_ENCODINGS.search(last + block):
            return RefusalCode.FILE_TWO_ENCODINGS
        last = block[-1:]
        try:
            text = before + block.decode("cp1252")
        except UnicodeDecodeError:
            return RefusalCode.FILE_ENCODING_UNKNOWN
        high = {c for c in text if not c.isascii()}
        if high - _EXPECTED or _ODD.search(text):
            return RefusalCode.FILE_ENCODING_UNKNOWN
        letters = letters or any(c in _LETTERS for c in high)
        before = text[-2:]
    return None if letters else RefusalCode.FILE_ENCODING_UNKNOWN


def _line_end(file: IO[bytes], encoding: str) -> str:
    """Return the line end: a carriage return if the file has no line feed, as on old Macs; else a line feed."""
    if encoding.startswith("utf-16"):
        return "\n"
    returns = False
    for block in _blocks(file):
        if b"\n" in block:
            break
        returns = returns or b"\r" in block
    else:
        file.seek(0)
        return "\r" if returns else "\n"
    file.seek(0)
    return "\n"
