"""HTTP/1.1 for one connection: read requests, and send answers in order, also those that are to go wrong.

There is no task and no coroutine for a request: a ready answer is sent at once, and a delayed one is a timer of the
loop. Pipelined requests wait in a queue, so that the answers keep their order.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import cast

import httptools

from smsclick.simulator.answers import JSON, Answer, Body, Manner, Request, page
from smsclick.simulator.traffic import Traffic

MAX_BODY = 4 * 1024 * 1024
MAX_HEAD = 64 * 1024
_MAX_QUEUE = 64
_NO_LINGER = struct.pack("ii", 1, 0)


class Connection(asyncio.Protocol):
    """One client's connection.

    Args:
        answer: Returns the answer to a request.
        traffic: Counts connections and requests in flight.
        connections: The open connections; this one is in it while it is open.
        clock: Epoch seconds, for the Date header.
    """

    def __init__(
        self,
        answer: Callable[[Request], Answer],
        traffic: Traffic,
        connections: "set[Connection]",
        clock: Callable[[], float],
    ) -> None:
        self._answer = answer
        self._traffic = traffic
        self._connections = connections
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._queue: deque[Request] = deque()
        self._busy = False
        self._lost = False
        self._bad: int = 0
        self._timer: asyncio.Handle | None = None
        self._parts: Iterator[bytes] | None = None
        self._keep_alive = True
        self._writable = True
        self._reading = True
        self._url = b""
        self._pieces: list[bytes] = []
        self._size = 0
        self._counted = False

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Add the connection to the open ones."""
        # uvloop's transport has the interface without the base class.
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        self._traffic.connections += 1
        self._traffic.open_connections += 1

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (asyncio's signature)
        """Drop the answers that were not sent; requests that were carried out stay so."""
        self._lost = True
        self._connections.discard(self)
        self._traffic.open_connections -= 1
        self._no_longer_busy()
        self._cancel_timer()
        self._parts = None
        self._queue.clear()

    def data_received(self, data: bytes) -> None:
        """Read the data, and carry out each complete request."""
        if self._bad:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise  # an error of ours, not the client's
        except (httptools.HttpParserUpgrade, httptools.HttpParserError):
            self._refuse_with(400)
        self._advance()

    def pause_writing(self) -> None:
        """Stop sending, because the client reads slowly."""
        self._writable = False

    def resume_writing(self) -> None:
        """Send again, because the client has caught up."""
        self._writable = True
        if self._parts is not None and self._timer is None:
            self._pump()

    def abort(self) -> None:
        """End the connection at once, in any state."""
        self._transport.abort()

    # Called by the parser.

    def on_url(self, url: bytes) -> None:
        """Add a piece of the request's target."""
        self._url += url
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Ignore all headers except `Expect`, which asks whether to continue."""
        self._count_head(len(name) + len(value))
        if len(name) == 6 and name.lower() == b"expect" and not self._busy and not self._queue:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Add a piece of the body."""
        self._size += len(body)
        if self._size > MAX_HEAD + MAX_BODY:
            self._refuse_with(413)
        elif not self._bad:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        """Queue a complete request; it is carried out outside the parser, which would hide our own errors."""
        parser = self._parser
        if parser.should_upgrade():
            self._refuse_with(400)
        if self._bad:
            return
        path = self._url.partition(b"?")[0]
        keep_alive, chunks = parser.should_keep_alive(), parser.get_http_version() == "1.1"
        self._queue.append(Request(parser.get_method(), path, b"".join(self._pieces), keep_alive, chunks))
        self._url = b""
        self._pieces = []
        self._size = 0

    def _count_head(self, size: int) -> None:
        self._size += size
        if self._size > MAX_HEAD:
            self._refuse_with(431)

    def _refuse_with(self, status: int) -> None:
        """Read no more from this connection; the first reason counts."""
        self._bad = self._bad or status

    # From the queue to the answer.

    def _advance(self) -> None:
        queue = self._queue
        while queue and not self._busy and not self._gone():
            request = queue.popleft()
            self._busy = True
            self._keep_alive = request.keep_alive
            answer = self._answer(request)
            if answer.outcome:
                self._counted = True
                self._traffic.request_began()
            if answer.delay:
                self._timer = self._loop.call_later(answer.delay, self._late, answer, request.chunks)
            else:
                self._deliver(answer, chunks=request.chunks)
        if self._bad and not queue and not self._busy and not self._gone():
            self._refuse()
        self._throttle()

    def _gone(self) -> bool:
        """Return whether nothing can be sent any more, even if `connection_lost` was not called yet."""
        return self._lost or self._transport.is_closing()

    def _throttle(self) -> None:
        """Stop reading while too many requests wait: a client that pipelines must not fill the memory."""
        wanted = len(self._queue) < _MAX_QUEUE
        if wanted != self._reading and not self._gone():
            self._reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _late(self, answer: Answer, chunks: bool) -> None:  # noqa: FBT001  (call_later takes no keywords)
        self._timer = None
        self._deliver(answer, chunks=chunks)
        self._advance()

    def _deliver(self, answer: Answer, *, chunks: bool) -> None:
        match answer.manner:
            case Manner.WHOLE:
                self._whole(answer, chunks=chunks)
            case Manner.HANG:
                pass
            case Manner.RESET:
                self._reset()
            case Manner.CUT:
                body = _joined(answer.body)
                self._transport.write(self._head(answer, len(body)) + body[: len(body) // 2])
                self._transport.close()
            case Manner.TRICKLE:
                body = _joined(answer.body)
                self._transport.write(self._head(answer, len(body)))
                self._drip(body, 0, answer.pace / max(1, len(body)))

    def _whole(self, answer: Answer, *, chunks: bool) -> None:
        body = answer.body
        if not isinstance(body, bytes) and chunks:
            self._transport.write(self._head(answer, None))
            self._parts = body
            self._pump()
            return
        body = _joined(body)
        self._transport.write(self._head(answer, len(body)) + body)
        self._done()

    def _pump(self) -> None:
        """Send the next part of a body, and schedule the one after it, so that others are served in between."""
        self._timer = None
        if self._parts is None or not self._writable or self._gone():
            return
        part = next(self._parts, None)
        if part is None:
            self._parts = None
            self._transport.write(b"0\r\n\r\n")
            self._done()
            self._advance()
            return
        if part:
            self._transport.write(b"%x\r\n%b\r\n" % (len(part), part))
        self._timer = self._loop.call_soon(self._pump)

    def _drip(self, body: bytes, sent: int, pause: float) -> None:
        self._timer = None
        if self._gone():
            return
        if sent == len(body):
            self._done()
            self._advance()
            return
        self._transport.write(body[sent : sent + 1])
        self._timer = self._loop.call_later(pause, self._drip, body, sent + 1, pause)

    def _reset(self) -> None:
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            # Without lingering, closing sends RST instead of FIN.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._transport.abort()

    def _no_longer_busy(self) -> None:
        self._busy = False
        if self._counted:
            self._counted = False
            self._traffic.request_ended()

    def _done(self) -> None:
        self._no_longer_busy()
        if not self._keep_alive:
            self._lost = True
            self._transport.close()

    def _refuse(self) -> None:
        """Answer a client that does not speak HTTP with an error, and end the connection."""
        self._lost = True
        self._keep_alive = False
        answer = page(self._bad, HTTPStatus(self._bad).phrase)
        body = _joined(answer.body)
        self._traffic.decided("other", answer.outcome)
        self._transport.write(self._head(answer, len(body)) + body)
        self._transport.close()

    def _head(self, answer: Answer, length: int | None) -> bytes:
        start = _status_line(answer.status, answer.content_type)
        size = b"Transfer-Encoding: chunked\r\n" if length is None else b"Content-Length: %d\r\n" % length
        end = b"\r\n" if self._keep_alive else b"Connection: close\r\n\r\n"
        return b"%b%b%b%b%b" % (start, _date_line(int(self._clock())), size, answer.headers, end)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _joined(body: Body) -> bytes:
    return body if isinstance(body, bytes) else b"".join(body)


@lru_cache(maxsize=64)
def _status_line(status: int, content_type: str = JSON) -> bytes:
    phrase = HTTPStatus(status).phrase
    start = f"HTTP/1.1 {status} {phrase}\r\nServer: smsclick-simulator\r\nContent-Type: {content_type}\r\n"
    return start.encode()


@lru_cache(maxsize=4)
def _date_line(second: int) -> bytes:
    return f"Date: {formatdate(second, usegmt=True)}\r\n".encode()
