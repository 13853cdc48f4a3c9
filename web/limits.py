"""Limits of what one client may cost: requests a second, and bytes of a body."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.problems import Kind, ProblemError

LARGEST_BODY_BYTES: Final = 4 * 1024 * 1024
"""1,000 messages with long texts have less."""

_MOST_NAMES: Final = 10_000
_MOST_DIGITS: Final = 18


class RateLimit:
    """So many requests a second for each name, counted in this process, with some at once after a pause.

    Args:
        per_second: in the long run.
        at_once: after a pause.
        clock: monotonic, in seconds.
    """

    def __init__(self, per_second: float, at_once: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = 1 / per_second
        self._most_ahead = at_once * self._seconds
        self._clock = clock
        self._free_at: OrderedDict[str, float] = OrderedDict()

    def check(self, name: str, problem: str) -> None:
        """Raise `ProblemError` if the name has no request left; counts nothing."""
        ahead = self._free_at.get(name, 0.0) - self._clock()
        if ahead + self._seconds > self._most_ahead:
            wait = math.ceil(ahead + self._seconds - self._most_ahead)
            raise ProblemError(Kind.TOO_MANY_REQUESTS, problem, headers={"Retry-After": str(max(1, wait))})

    def take(self, name: str, problem: str) -> None:
        """Count a request; raises `ProblemError` where there was none left."""
        self.check(name, problem)
        now = self._clock()
        self._free_at[name] = max(now, self._free_at.pop(name, 0.0)) + self._seconds
        while len(self._free_at) > _MOST_NAMES:
            self._free_at.popitem(last=False)


class BodyLimit:
    """Refuses a body of more bytes than allowed, announced or not, without reading more of it.

    Args:
        app: the application behind it, which answers a `ProblemError`.
        most: bytes of a body.
    """

    def __init__(self, app: ASGIApp, most: int = LARGEST_BODY_BYTES) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or len(announced) > _MOST_DIGITS or int(announced) > self._most:
            await self._problem().response()(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most:
                raise self._problem()
            return message

        await self._app(scope, counted, send)

    def _problem(self) -> ProblemError:
        detail = f"send at most {self._most} bytes, for example fewer messages in one request"
        # The rest of the body is not read, so the connection cannot be used again.
        return ProblemError(Kind.TOO_LARGE, detail, headers={"Connection": "close"})
