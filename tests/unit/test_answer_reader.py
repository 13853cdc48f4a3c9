"""An answer is read alike however its bytes are split, and in every form that the other transport can read."""

from __future__ import annotations

import gzip
import http.client
import zlib
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsclick._net.deadline import AnswerTooLargeError
from smsclick.provider._async_http.answer import AnswerReader
from smsclick.provider.results import HttpAnswer
from tests.socket_server import SENT, reply

LIMIT: Final = 1000
_LENGTH: Final = b"Content-Length: %d" % len(SENT)
_CHUNKED: Final = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (9, SENT[:9], len(SENT) - 9, SENT[9:])


def head(*lines: bytes, first: bytes = b"HTTP/1.1 200 OK", end: bytes = b"\r\n") -> bytes:
    return end.join([first, *lines, b"", b""])


KEPT: Final = {
    "plain": reply(SENT),
    "chunked": head(b"Transfer-Encoding: chunked") + _CHUNKED,
    "chunks with an extension": head(b"Transfer-Encoding: chunked") + _CHUNKED.replace(b"9\r\n", b"9;a=b\r\n", 1),
    "chunks with spaces": head(b"Transfer-Encoding: chunked") + _CHUNKED.replace(b"9\r\n", b"9  \r\n", 1),
    "chunks with trailers": head(b"Transfer-Encoding: chunked") + _CHUNKED[:-2] + b"X: y\r\n\r\n",
    "no reason": head(_LENGTH, first=b"HTTP/1.1 200") + SENT,
    "folded header": head(b"X: y\r\n z", _LENGTH) + SENT,
    "latin-1 header": head(b"X: \xe1", _LENGTH) + SENT,
    "space before the colon": head(_LENGTH.replace(b":", b" :")) + SENT,
    "line feeds only": head(_LENGTH, end=b"\n") + SENT,
    "after interim answers": head(first=b"HTTP/1.1 100 Continue")
    + head(b"Content-Length: 5", first=b"HTTP/1.1 103 Early Hints")
    + reply(SENT),
    "gzip": reply(gzip.compress(SENT), "200 OK", "Content-Encoding: gzip"),
    "deflate": reply(zlib.compress(SENT), "200 OK", "Content-Encoding: deflate"),
    "an encoding that is none": reply(SENT, "200 OK", "Content-Encoding: utf-8"),
}
ENDED: Final = {
    "ends with the connection": head() + SENT,
    "close": head(b"Connection: close", _LENGTH) + SENT,
    "HTTP/1.0": head(_LENGTH, first=b"HTTP/1.0 200 OK") + SENT,
    "HTTP/1.0 that ends with the connection": head(first=b"HTTP/1.0 200 OK") + SENT,
    "chunked with a length": head(_LENGTH, b"Transfer-Encoding: chunked") + _CHUNKED,
    "another answer behind it": reply(SENT) + reply(b'{"codigo":1,"id_mensaje":666}', "500 Oops"),
    "nonsense behind it": reply(SENT) + b"nonsense",
}


def read(pieces: list[bytes]) -> AnswerReader:
    reader = AnswerReader(LIMIT)
    for piece in pieces:
        if piece:
            reader.feed(piece)
    if not reader.complete:
        reader.end()
    return reader


@given(
    name=st.sampled_from(sorted(KEPT) + sorted(ENDED)),
    cuts=st.none() | st.lists(st.integers(0, 400), max_size=12),
)
def test_an_answer_is_the_same_wherever_its_bytes_are_split(name: str, cuts: list[int] | None) -> None:
    raw = (KEPT | ENDED)[name]
    # None: byte by byte.
    places = range(1, len(raw)) if cuts is None else sorted({cut for cut in cuts if 0 < cut < len(raw)})
    reader = read([raw[start:end] for start, end in zip([0, *places], [*places, len(raw)], strict=True)])
    assert reader.answer() == HttpAnswer(200, SENT)
    assert reader.reusable == (name in KEPT)


@given(name=st.sampled_from(sorted(KEPT)), cut=st.integers(0, 400))
def test_an_answer_that_breaks_off_is_never_complete(name: str, cut: int) -> None:
    raw = KEPT[name]
    # The end of the last chunk's lines carries nothing.
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        read([raw[: min(cut, len(raw) - 6)]])


@given(st.binary(max_size=300))
def test_whatever_arrives_ends_as_an_answer_or_an_error_of_the_transport(noise: bytes) -> None:
    for start in (b"", b"HTTP/1.1 200 OK\r\n", head(), head(b"Transfer-Encoding: chunked")):
        try:
            answer = read([start + noise]).answer()
        except (http.client.HTTPException, OSError):
            continue
        assert len(answer.body) <= LIMIT


@pytest.mark.parametrize(
    "raw",
    [
        reply(b" " * (LIMIT + 1)),
        head(b"Transfer-Encoding: chunked") + b"ffff\r\n" + b" " * 0xFFFF + b"\r\n0\r\n\r\n",
        head(*[b"X: y"] * 100_000),
        head(first=b"HTTP/1.1 100 Continue") * 20_000,
        reply(gzip.compress(b" " * (LIMIT + 1)), "200 OK", "Content-Encoding: gzip"),
    ],
    ids=["body", "chunk", "headers", "interim answers", "decompressed"],
)
def test_an_answer_beyond_its_limits_is_refused(raw: bytes) -> None:
    with pytest.raises(AnswerTooLargeError):
        read([raw[start : start + 65536] for start in range(0, len(raw), 65536)]).answer()


@pytest.mark.parametrize(("header", "seconds"), [("120", 120), ("1000000", 86400), ("soon", None)])
def test_retry_after_is_read(header: str, seconds: float | None) -> None:
    assert read([reply(b"", "429 Slow", f"Retry-After: {header}")]).answer().retry_after == seconds


@pytest.mark.parametrize(("lines", "idle"), [((), 3), (("Keep-Alive: timeout=2, max=9",), 1), (("Keep-Alive: x",), 3)])
def test_an_announced_idle_time_is_read(lines: tuple[str, ...], idle: float) -> None:
    assert read([reply(SENT, "200 OK", *lines)]).idle_seconds(3) == idle
