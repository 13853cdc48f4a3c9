"""Lends connections to calls, and bounds how many there are and how many are being opened at once."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import urllib3.exceptions

from smsclick.provider.clock import clock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from smsclick.provider._async_http.connection import Connection
    from smsclick.provider._http.call_record import Departure

FIRST_OPENINGS: Final = 32
MOST_OPENINGS: Final = 256
FEWEST_OPENINGS: Final = 8
"""Connections that are being opened at once. Thousands would overflow the provider's queue of connections, and time out
together. Each that opens allows one more, each that fails halves the number, as TCP does with its window.
"""

_TIDY_SECONDS: Final = 1.0


class Pool:
    """The open connections. The one that was used last is lent first, so that the others may end.

    Args:
        connect: Opens one, or raises one of `TRANSPORT_ERRORS`.
        most: At most so many are open.
        patience: Seconds that a call waits while no connection is opened or given back; it is the connect timeout.
    """

    def __init__(self, connect: Callable[[Departure], Awaitable[Connection]], most: int, patience: float) -> None:
        self._connect = connect
        self._most = most
        self._patience = patience
        self._idle: dict[Connection, None] = {}
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._open = 0
        self._opening = 0
        self._openings_allowed = FIRST_OPENINGS
        self._progress_at = float("-inf")
        self._tidying: asyncio.TimerHandle | None = None
        self._closed = False

    async def lend(self, departure: Departure) -> Connection:
        """Lend a connection on which nothing has arrived. Between the return and the request there must be no wait.

        Args:
            departure: Of the call; it records if there is none.

        Raises:
            OSError: And the others of `TRANSPORT_ERRORS`: there is none.
        """
        while True:
            connection = self._idle_one() or await self._other(departure)
            if connection.is_quiet():
                return connection
            if not connection.used:  # it was opened just now
                departure.connect_failed = True
                raise ConnectionResetError
            # The end of a kept connection says nothing about the provider.

    def take_back(self, connection: Connection) -> None:
        """Keep a connection for other calls, if it can be used again.

        Args:
            connection: That was lent, after its exchange.
        """
        self._progress_at = time.monotonic()
        if self._closed or time.monotonic() >= connection.reuse_until:
            connection.close()
        if connection.closed:
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._idle[connection] = None
        if self._tidying is None:
            self._tidying = asyncio.get_running_loop().call_later(_TIDY_SECONDS, self._tidy)

    def close(self) -> None:
        """Close the idle connections. Those that are lent close when they come back."""
        self._closed = True
        if self._tidying is not None:
            self._tidying.cancel()
            self._tidying = None
        for connection in list(self._idle):
            connection.close()

    def _idle_one(self) -> Connection | None:
        while self._idle:
            connection, _ = self._idle.popitem()
            if time.monotonic() < connection.reuse_until:
                return connection
            connection.close()
        return None

    async def _other(self, departure: Departure) -> Connection:
        """Open a connection, or wait for one that another call gives back, whichever is allowed first."""
        given = None
        if self._waiting or not self._may_open():
            given = await self._wait(departure)
        else:
            self._reserve()
        return given or await self._open_one(departure)

    def _may_open(self) -> bool:
        return self._opening < self._openings_allowed and self._open < self._most

    def _reserve(self) -> None:
        self._opening += 1
        self._open += 1

    def _unreserve(self) -> None:
        self._opening -= 1
        self._open -= 1
        self._let_open()

    async def _open_one(self, departure: Departure) -> Connection:
        try:
            connection = await self._connect(departure)
        except BaseException:
            self._openings_allowed = max(FEWEST_OPENINGS, self._openings_allowed // 2)
            self._unreserve()
            raise
        self._openings_allowed = min(MOST_OPENINGS, self._openings_allowed + 1)
        self._progress_at = time.monotonic()
        self._opening -= 1
        connection.on_closed = self._gone
        if connection.closed:  # already
            self._gone(connection)
        self._let_open()
        return connection

    async def _wait(self, departure: Departure) -> Connection | None:
        """Wait for a connection, or (None) for the permission to open one, which is reserved."""
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        began = time.monotonic()
        try:
            while True:
                left = max(began, self._progress_at) + self._patience - time.monotonic()
                if departure.not_after is not None:
                    left = min(left, departure.not_after - clock())
                if left <= 0:
                    break
                if (await asyncio.wait((waiter,), timeout=left))[0]:
                    return waiter.result()
        except BaseException:
            self._return(waiter)
            raise
        self._return(waiter)
        if departure.not_after is not None and clock() >= departure.not_after:
            departure.withheld = True
            raise TimeoutError
        departure.connect_failed = True
        raise urllib3.exceptions.ConnectTimeoutError

    def _return(self, waiter: asyncio.Future[Connection | None]) -> None:
        """Pass on what a call was given that has just given up."""
        if not waiter.done():
            waiter.cancel()
        elif (given := waiter.result()) is None:
            self._unreserve()
        else:
            self.take_back(given)

    def _let_open(self) -> None:
        while self._waiting and self._may_open():
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._reserve()
                waiter.set_result(None)

    def _gone(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        self._open -= 1
        self._let_open()

    def _tidy(self) -> None:
        """Close what was idle for too long. What the other side closes, its connection notices by itself."""
        self._tidying = None
        now = time.monotonic()
        for connection in [each for each in self._idle if now >= each.reuse_until]:
            connection.close()
        if self._idle:
            self._tidying = asyncio.get_running_loop().call_later(_TIDY_SECONDS, self._tidy)
