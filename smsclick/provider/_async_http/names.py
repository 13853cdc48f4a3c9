"""Addresses of one host name, resolved on a thread so that a slow resolver never holds up the event loop."""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import socket
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Address = tuple[socket.AddressFamily, tuple[str | int | bytes, ...]]
"""A family and what `connect()` takes."""

CACHE_SECONDS: Final = 30.0
"""Thousands of connections ask for one name. After this, or when no address could be reached, it is asked for again."""

LOST_SECONDS: Final = 60.0
"""After so long without an answer, the thread counts as lost and another one asks."""


class Resolver:
    """Resolves one name, with one thread at a time. Many may wait for its answer.

    Args:
        host: A name or an address.
        port: Of the service.
        ask: Resolves names; it may block.
    """

    def __init__(self, host: str, port: int, ask: Callable[..., Iterable[Any]] = socket.getaddrinfo) -> None:
        self._host, self._port, self._ask_system = host, port, ask
        self._known: list[Address] = []
        self._known_until = 0.0
        self._pending: asyncio.Future[list[Address] | OSError | ValueError] | None = None
        self._asked_at = 0.0

    async def addresses(self) -> list[Address]:
        """Return the addresses, of the cache where they are new enough.

        Raises:
            OSError: The name was not resolved.
            ValueError: It cannot be a name.
        """
        if time.monotonic() < self._known_until:
            return list(self._known)  # `prefer` changes the order of ours
        if self._pending is None or time.monotonic() - self._asked_at > LOST_SECONDS:
            self._asked_at = time.monotonic()
            self._pending = self._ask(asyncio.get_running_loop())
        answer = await asyncio.shield(self._pending)  # others wait for it too
        if isinstance(answer, list):
            return list(answer)
        raise answer.with_traceback(None)

    def forget(self) -> None:
        """Ask again next time, because none of the addresses could be reached."""
        self._known_until = 0.0

    def prefer(self, address: Address) -> None:
        """Put an address that was reached before the others."""
        if self._known and self._known[0] != address and address in self._known:
            self._known.remove(address)
            self._known.insert(0, address)

    def _ask(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[list[Address] | OSError | ValueError]:
        pending: asyncio.Future[list[Address] | OSError | ValueError] = loop.create_future()

        def finish(answer: list[Address] | OSError | ValueError) -> None:
            if self._pending is pending:
                self._pending = None
            if isinstance(answer, list):
                self._known, self._known_until = answer, time.monotonic() + CACHE_SECONDS
            pending.set_result(answer)

        def resolve() -> None:
            answer: list[Address] | OSError | ValueError
            try:
                found = self._ask_system(self._host, self._port, type=socket.SOCK_STREAM)
                answer = list(dict.fromkeys((socket.AddressFamily(each[0]), each[4]) for each in found))
            except (OSError, ValueError) as error:
                answer = error
            except BaseException as error:  # noqa: BLE001 - those who wait must hear of any end of this thread
                answer = OSError(f"the name was not resolved: {type(error).__name__}")
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(finish, answer)

        try:
            # A resolver that hangs does not hold up the end of the process. And unlike `Thread.start`, this does not
            # wait until the thread runs: where the thread fails before it can say so, that wait has no end.
            _thread.start_new_thread(resolve, ())
        except RuntimeError:
            finish(OSError("the system allows no thread"))
        return pending
