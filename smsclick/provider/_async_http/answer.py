"""One HTTP answer, parsed from bytes however they are split, within its limits of size."""

from __future__ import annotations

import http.client
import io
from typing import Final

import httptools
import urllib3
import urllib3.exceptions

from smsclick._net.deadline import AnswerTooLargeError
from smsclick.provider._http.headers import idle_seconds, retry_after
from smsclick.provider.results import HttpAnswer

_KEPT: Final = frozenset(
    (b"content-encoding", b"content-length", b"keep-alive", b"retry-after", b"transfer-encoding"),
)
_HEADER_BYTES: Final = 256 * 1024
_SWITCHING_PROTOCOLS: Final = 101
_PIECE_BYTES: Final = 64 * 1024


class AnswerReader:
    """Takes the bytes of one answer. Interim answers (100 Continue, 103 Early Hints) are skipped.

    Args:
        limit: Bytes that the body may have. Twice as many, and 256 KiB for headers and chunks, may arrive.

    Attributes:
        complete: Whether the answer is whole.
        reusable: Whether, once it is, the connection may carry another request.
    """

    def __init__(self, limit: int) -> None:
        self.complete = False
        self.reusable = False
        self._limit = limit
        self._bytes_allowed = 2 * limit + _HEADER_BYTES
        self._began = False
        self._status = 0
        self._head_complete = False
        self._headers: dict[bytes, str] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._parser = httptools.HttpResponseParser(self)
        # As tolerant as http.client. No other request or answer shares the connection at the time, so nothing can be
        # smuggled in; and what the body proves is decided by its content.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_chunked_length=True,
            lenient_transfer_encoding=True,
            lenient_version=True,
            lenient_optional_lf_after_cr=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )

    def feed(self, data: bytes) -> None:
        """Take bytes that arrived.

        Args:
            data: At least one byte.

        Raises:
            AnswerTooLargeError: The answer exceeds its limits.
            http.client.HTTPException: It is not HTTP.
        """
        self._began = True
        self._bytes_allowed -= len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.complete, self.reusable = True, False
        except httptools.HttpParserError:
            self.reusable = False
            if not self.complete:  # else it is what came after the answer
                raise http.client.HTTPException from None
        if self._bytes_allowed < 0 or (self._body_bytes > self._limit and b"content-encoding" not in self._headers):
            raise AnswerTooLargeError

    def end(self) -> None:
        """Take the end of the connection, which ends a body without a length.

        Raises:
            http.client.HTTPException: The answer was cut short.
            ConnectionError: Nothing of it came.
        """
        if not self._began:
            raise http.client.RemoteDisconnected("nothing came")
        coding = self._headers.get(b"transfer-encoding")
        framed = b"content-length" in self._headers if coding is None else "chunked" in coding.lower()
        if not self.complete and (framed or not self._head_complete):
            raise urllib3.exceptions.IncompleteRead(self._body_bytes, 0)
        self.complete, self.reusable = True, False

    def answer(self) -> HttpAnswer:
        """Return the answer, once it is complete.

        Raises:
            AnswerTooLargeError: Its body exceeds the limit once it is decompressed.
            urllib3.exceptions.HTTPError: It cannot be decompressed.
        """
        body = b"".join(self._body)
        if encoding := self._headers.get(b"content-encoding"):
            body = _decompressed(body, encoding, self._limit)
        return HttpAnswer(self._status, body, retry_after(self._headers.get(b"retry-after")))

    def idle_seconds(self, max_idle: float) -> float:
        """Return how long the connection may be idle before it is used again; at most `max_idle`."""
        return idle_seconds(self._headers.get(b"keep-alive"), max_idle)

    # What httptools calls.

    def on_message_begin(self) -> None:
        """Note an answer that nobody asked for, after ours."""
        if self.complete:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the headers that count. Repeated ones are joined, as HTTP has it."""
        name = name.lower().rstrip()
        if name in _KEPT and not self.complete:
            text = value.decode("latin-1").strip()
            known = self._headers.get(name)
            self._headers[name] = text if known is None else f"{known}, {text}"

    def on_headers_complete(self) -> None:
        """Note the status."""
        if not self.complete:
            self._status = self._parser.get_status_code()
            self._head_complete = not self._is_interim

    def on_body(self, part: bytes) -> None:
        """Keep a part of the body."""
        if not self.complete:
            self._body.append(part)
            self._body_bytes += len(part)

    def on_message_complete(self) -> None:
        """Note that the answer is whole, or begin again after an interim one."""
        if self.complete:
            return
        if self._is_interim:
            self._headers.clear()
            return
        self.complete = True
        # Who names both may count the bytes otherwise than we do, so nothing follows on this connection.
        ambiguous = b"content-length" in self._headers and b"transfer-encoding" in self._headers
        self.reusable = self._parser.should_keep_alive() and not ambiguous

    @property
    def _is_interim(self) -> bool:
        return 100 <= self._status < 200 and self._status != _SWITCHING_PROTOCOLS


def _decompressed(body: bytes, encoding: str, limit: int) -> bytes:
    """Decompress as the other transport does. It is rare, because no encoding is asked for."""
    packed = urllib3.HTTPResponse(io.BytesIO(body), headers={"Content-Encoding": encoding}, preload_content=False)
    plain = bytearray()
    while piece := packed.read(_PIECE_BYTES, decode_content=True):
        plain += piece
        if len(plain) > limit:
            raise AnswerTooLargeError
    return bytes(plain)
