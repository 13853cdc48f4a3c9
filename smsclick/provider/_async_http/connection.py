"""One connection, read and written by this module itself: what is in a buffer of a loop could leave too late."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from smsclick.provider._async_http.answer import AnswerReader
from smsclick.provider._http.failure_reasons import TRANSPORT_ERRORS

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from smsclick.provider._async_http.tls import Tls
    from smsclick.provider._http.call_record import Departure
    from smsclick.provider.results import HttpAnswer

_READ_BYTES: Final = 64 * 1024


class Channel:
    """A socket that does not block, with the TLS on it. Its waits belong to the opening of a connection.

    Args:
        sock: Connected, or about to be.

    Attributes:
        sock: The socket.
        tls: The TLS of everything that follows; None: none.
    """

    __slots__ = ("sock", "tls")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.tls: Tls | None = None

    async def writable(self) -> None:
        """Wait until the socket takes bytes, or its connection has failed."""
        loop, waiter = _waiter()
        loop.add_writer(self.sock.fileno(), _wake, waiter)
        try:
            await waiter
        finally:
            loop.remove_writer(self.sock.fileno())

    async def readable(self) -> None:
        """Wait until the socket has bytes, or has ended."""
        loop, waiter = _waiter()
        loop.add_reader(self.sock.fileno(), _wake, waiter)
        try:
            await waiter
        finally:
            loop.remove_reader(self.sock.fileno())

    async def send_raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self.sock.send(rest) :]
            except (BlockingIOError, InterruptedError):
                await self.writable()

    async def receive_raw(self) -> bytes:
        """Return the next bytes as they are; empty at the end."""
        while True:
            try:
                return self.sock.recv(_READ_BYTES)
            except (BlockingIOError, InterruptedError):
                await self.readable()

    async def send_all(self, data: bytes) -> None:
        """Send data, through TLS where there is one."""
        await self.send_raw(data if self.tls is None else self.tls.encrypt(data))

    async def receive(self) -> bytes:
        """Return the next data, through TLS where there is one; empty at the end."""
        while True:
            received = await self.receive_raw()
            if self.tls is None:
                return received
            if (data := self.tls.decrypt(received)) or self.tls.ended:
                return data

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()


class Connection:
    """A connection that makes one exchange after another, and notices when the other side closes it meanwhile.

    Args:
        channel: Open. The connection closes it.

    Attributes:
        closed: Whether it is of no more use.
        used: Whether it has made an exchange.
        reuse_until: Time of `time.monotonic()` after which it must not be used again.
        on_closed: Called once, when it becomes of no more use.
    """

    def __init__(self, channel: Channel) -> None:
        self.closed = False
        self.used = False
        self.reuse_until = float("inf")
        self.on_closed: Callable[[Connection], None] | None = None
        self._channel, self._sock, self._fd = channel, channel.sock, channel.sock.fileno()
        self._tls = channel.tls
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._reader: AnswerReader | None = None
        self._departure: Departure | None = None
        self._unsent: memoryview | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._fd, self._on_readable)
        if self._tls is not None:
            self._receive(None)  # what came together with the end of the handshake

    def is_quiet(self) -> bool:
        """Whether the connection is open and nothing has arrived on it, neither its end nor bytes.

        Asks the system: the loop may not have come to read what is there.
        """
        while not self.closed:
            try:
                received = self._sock.recv(_READ_BYTES)
            except (BlockingIOError, InterruptedError):
                return True
            except OSError:
                self.close()
                break
            self._receive(received)
        return False

    def begin(self, request: bytes, departure: Departure, limit: int, read_timeout: float) -> asyncio.Future[None]:
        """Send a request. Nothing but system calls lies between the check of its `not_after` and the socket.

        Args:
            request: Head and body.
            departure: Records that it leaves.
            limit: Bytes that the answer's body may have.
            read_timeout: Seconds for the request and the whole answer.

        Returns:
            Done when the answer is whole; then call `finish`, in any case.

        Raises:
            TimeoutError: It must not leave any more.
            OSError: TLS could not carry it.
        """
        self._reader, self._departure = AnswerReader(limit), departure
        self._waiter = waiter = self._loop.create_future()
        self.used = True
        self._timer = self._loop.call_later(read_timeout, self._on_deadline)
        data = memoryview(request if self._tls is None else self._tls.encrypt(request))
        departure.leaves()
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._last_reading(error)
            return waiter
        if sent < len(data):
            self._unsent = data[sent:]
            self._loop.add_writer(self._fd, self._on_writable)
        return waiter

    def finish(self, max_idle: float) -> HttpAnswer | None:
        """End the exchange. The connection is closed, unless it can be used again.

        Args:
            max_idle: Seconds that it may be idle before.

        Returns:
            The answer, if it is whole.

        Raises:
            http.client.HTTPException: The answer's body exceeds its limit, once decompressed.
            urllib3.exceptions.HTTPError: It cannot be decompressed.
        """
        reader, waiter = self._reader, self._waiter
        self._reader = self._waiter = self._departure = None
        if waiter is not None and waiter.done() and not waiter.cancelled():
            waiter.exception()  # a task that was cancelled at the same time has not seen it
        if self._timer is not None:
            self._timer.cancel()
        if reader is None or not reader.complete:
            self.close()
            return None
        self.reuse_until = time.monotonic() + reader.idle_seconds(max_idle)
        if not reader.reusable or self._unsent is not None:
            self.close()
        return reader.answer()

    def close(self) -> None:
        """Close it now, whatever it does."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._fd)
        if self._unsent is not None:
            self._loop.remove_writer(self._fd)
        self._channel.close()
        if self.on_closed is not None:
            self.on_closed(self)

    # Events of the loop.

    def _on_readable(self) -> None:
        try:
            received = self._sock.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fail(error)
            return
        self._receive(received)

    def _receive(self, received: bytes | None) -> None:
        """Take bytes of the socket: empty at its end, None where only TLS may still hold some."""
        try:
            if self._tls is None:
                data, ended = received or b"", not received
            else:
                data, ended = self._tls.decrypt(received), self._tls.ended
                if answer := self._tls.pending():  # of TLS itself, to a change of keys
                    self._send_also(answer)
            self._take(data, ended=ended)
        except TRANSPORT_ERRORS as error:
            self._fail(error)

    def _take(self, data: bytes, *, ended: bool) -> None:
        reader, waiter = self._reader, self._waiter
        if reader is None or waiter is None or waiter.done():
            if data or ended:
                self.close()  # nobody asked for anything, or the answer is whole already
            return
        if data:
            reader.feed(data)
        if ended and not reader.complete:
            reader.end()
        if reader.complete:
            waiter.set_result(None)
        if ended:
            self.close()

    def _send_also(self, data: bytes) -> None:
        """Send what TLS adds, behind what is still unsent."""
        if self._unsent is None:
            self._sock.send(data)
        else:
            self._unsent = memoryview(bytes(self._unsent) + data)

    def _on_writable(self) -> None:
        unsent, departure = self._unsent, self._departure
        if unsent is None or departure is None:
            return
        try:
            departure.leaves()
            unsent = unsent[self._sock.send(unsent) :]
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._last_reading(error)
            return
        self._unsent = unsent or None
        if self._unsent is None:
            self._loop.remove_writer(self._fd)

    def _on_deadline(self) -> None:
        self._last_reading(TimeoutError())

    def _last_reading(self, error: OSError) -> None:
        """Give up, unless the answer is there already: a loop that was held up, or a server that refused early."""
        while not self.closed and self._waiter is not None and not self._waiter.done():
            try:
                received = self._sock.recv(_READ_BYTES)
            except OSError:
                break
            self._receive(received)
        self._fail(error)

    def _fail(self, error: BaseException) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        self.close()


def _waiter() -> tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]:
    loop = asyncio.get_running_loop()
    return loop, loop.create_future()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
