"""Builds the ASGI application: the calls, their errors, and what they share."""

import contextlib
import importlib.metadata
import multiprocessing
from collections.abc import AsyncIterator
from typing import Any, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry
from starlette.requests import Request

from smsclick._database.engine import Database
from smsclick._logs.event_log import EventLog
from smsclick.settings import Settings, get_settings
from web import account, messages, probes
from web.authentication import TokenChecker
from web.description import describe
from web.group_store import GroupStore
from web.limits import BodyLimit, RateLimit
from web.pages import answers
from web.pages import router as pages
from web.pages.sign_in import SignInLimits
from worker.logs.setup import set_up
from worker.operator.metrics.collector import Collector
from worker.traces import tracer

log = EventLog(__name__)

DATABASE_CONNECTIONS: Final = 8
REQUESTS_PER_SECOND: Final = 10_000.0
"""Of one token, in one process: so many can hardly be served, but a client in a loop does not take all of it."""
GUESSES_PER_SECOND: Final = 1.0
GUESSES_AT_ONCE: Final = 20

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


def create(settings: Settings | None = None, *, guesses_at_once: int = GUESSES_AT_ONCE) -> FastAPI:
    """Return the application; it opens the database when it starts and closes it when it stops.

    Args:
        settings: of this process; None reads them from the environment.
        guesses_at_once: requests without a valid token that one address may make after a pause.

    Raises:
        SettingsError: a setting is wrong.
    """
    settings = settings or get_settings()
    if multiprocessing.parent_process() is not None:
        # One of several processes, which uvicorn has started: it has its parent's settings, and not its log.
        set_up(settings.log_format, "web")

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database(settings.database_url, threads=DATABASE_CONNECTIONS)
        tracer.start(database, settings.base_url)
        store = GroupStore(database)
        store.start()
        app.state.database = database
        app.state.store = store
        app.state.metrics = CollectorRegistry()
        app.state.metrics.register(Collector(database))
        app.state.language = settings.language
        app.state.zone = ZoneInfo(settings.timezone)
        app.state.sign_in_limits = SignInLimits()
        app.state.tokens = TokenChecker(
            database,
            guesses=RateLimit(GUESSES_PER_SECOND, guesses_at_once),
            requests=RateLimit(REQUESTS_PER_SECOND, int(REQUESTS_PER_SECOND)),
        )
        try:
            yield
        finally:
            store.close()
            tracer.stop()
            database.dispose()

    app = FastAPI(
        title="smsclick",
        version=importlib.metadata.version("smsclick"),
        description="Transactional SMS through SMSClick, followed until delivered. Errors are problem details "
        "(RFC 9457); docs/api.md lists their types.",
        lifespan=lifespan,
        # Its own spans and logs would hold the query of a search, which may be a phone, and the words of exceptions.
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
        # Their pages load scripts from another host.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    own = APIRouter()

    @own.get("/openapi.json", include_in_schema=False)
    async def description() -> JSONResponse:
        return JSONResponse(describe(app))

    routers = (messages.router, account.router, probes.router, own, *pages.build())
    for router in routers:
        app.include_router(router)
    app.state.calls = [route for router in routers for route in router.routes]

    app.state.settings = settings
    answers.install(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(_Guard)
    return app


class _Guard:
    """Adds the headers that every answer has, and answers a defect of ours without its words."""

    def __init__(self, app: Any) -> None:  # noqa: ANN401 - an ASGI application
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - of ASGI
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def with_headers(message: Any) -> None:  # noqa: ANN401 - of ASGI
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                # A page has a policy of its own, and a file of ours may be kept.
                given = {name.lower() for name, _ in message["headers"]}
                added = [each for each in _RAW_HEADERS if each[0] not in given]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        try:
            await self._app(scope, receive, with_headers)
        except Exception as error:
            if started:
                raise
            # Neither the words nor the traceback: they may hold a phone or a text.
            log.error("request_failed", error=type(error).__name__)  # noqa: TRY400
            answer = await answers.defect(Request(scope))
            await answer(scope, receive, with_headers)


_RAW_HEADERS: Final = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
