"""*Ahora*: what flows at this time, and if nothing does, why. A stream of events keeps an open page up to date."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from smsclick._database.engine import Database
from smsclick.errors import SmsclickError
from web.pages.people import PageError, Viewer, ViewerWindow, find
from web.pages.plots import plot
from web.pages.rendering import render
from web.pages.words import words_of
from web.shared import database_of
from worker.alerting.wording import Language
from worker.operator import now
from worker.operator.now import Now

router: Final = APIRouter(include_in_schema=False)

STREAM_SECONDS: Final = 20.0
"""A stream ends after so long and the browser asks again, so that it does not hold up the end of this process."""

_EVERY_SECONDS: Final = 2.0
_MOST_STREAMS: Final = 100
_KEPT_SECONDS: Final = 1.0


class Figures:
    """The figures of a process, read at most once a second for each language, however many look at them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._read: dict[Language, tuple[float, Now]] = {}
        self._locks: dict[Language, asyncio.Lock] = {}
        self.streams = 0

    async def read(self, language: Language) -> Now:
        """Return the figures, at most a second old.

        Raises:
            DatabaseUnavailable: the database does not answer.
        """
        async with self._locks.setdefault(language, asyncio.Lock()):
            known = self._read.get(language)
            if known is not None and time.monotonic() - known[0] < _KEPT_SECONDS:
                return known[1]
            found = await run_in_threadpool(now.read, self._database, language=language)
            self._read[language] = (time.monotonic(), found)
            return found


def _figures(request: Request) -> Figures:
    state = request.app.state
    if not hasattr(state, "figures"):
        state.figures = Figures(database_of(request))
    figures: Figures = state.figures
    return figures


@router.get("/")
async def show(request: Request, _: Viewer) -> Response:
    """Show the figures."""
    return render(request, "now.html.j2", **await _values(request))


@router.get("/ahora/eventos")
async def stream(request: Request, _: ViewerWindow) -> Response:
    """Send the figures whenever they have changed, as server-sent events."""
    figures = _figures(request)

    async def events() -> AsyncIterator[bytes]:
        try:
            sent = b""
            end = time.monotonic() + STREAM_SECONDS
            yield b"retry: 1000\n\n"
            while time.monotonic() < end:
                # A session that has ended sees nothing more.
                if await find(request, in_use=False) is None:
                    return
                text = bytes(render(request, "now_figures.html.j2", **await _values(request)).body)
                if text != sent:
                    sent = text
                    lines = b"".join(b"data: " + line + b"\n" for line in text.splitlines() if line.strip())
                    yield b"event: figures\n" + lines + b"\n"
                await asyncio.sleep(_EVERY_SECONDS)
        except SmsclickError:
            return  # the browser asks again, and the page then says what is wrong

    return _CountedStream(figures, events())


class _CountedStream(StreamingResponse):
    """A stream that counts from when it is promised, so that no more are promised than may run.

    Args:
        figures: of this process, which count.
        events: what is sent.

    Raises:
        PageError: as many run as may.
    """

    def __init__(self, figures: Figures, events: AsyncIterator[bytes]) -> None:
        # Nothing is awaited between the look at the number and its change: one step of the only event loop.
        if figures.streams >= _MOST_STREAMS:
            raise PageError(429, "too_many")
        super().__init__(events, media_type="text/event-stream")
        figures.streams += 1
        self._figures = figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; a browser that has gone before its first byte is counted out as well."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._figures.streams -= 1


async def _values(request: Request) -> dict[str, Any]:
    found = await _figures(request).read(words_of(request).language)
    points = [(each.ends_at, each) for each in found.minutes]
    return {
        "found": found,
        "rate": plot([(at, each.per_second) for at, each in points], found.at),
        "wait": plot([(at, each.latencies.wait.p99) for at, each in points], found.at),
    }
