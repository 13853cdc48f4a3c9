"""Sign in and out, and choose the language."""

import asyncio
import math
import time
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from smsclick._logs.event_log import EventLog
from web.limits import RateLimit
from web.pages import people
from web.pages.people import SIGN_IN_PATH, Viewer
from web.pages.rendering import render
from web.pages.words import LANGUAGE_COOKIE, known
from web.problems import ProblemError
from web.shared import database_of
from worker.operator.access import users, web_sessions

log = EventLog(__name__)

router: Final = APIRouter(include_in_schema=False)

_MOST_HASHES_AT_ONCE: Final = 2
"""Each needs a processor and 19 MiB: guesses must not take all of both."""

_LOGGED_EVERY_SECONDS: Final = 60
"""Refused sign-ins are logged as one number: each costs its sender nothing, and a line of each would fill the log."""

_YEAR_SECONDS: Final = 365 * 86_400
_LONGEST_NEXT: Final = 2000


class SignInLimits:
    """How often a sign-in may fail: for a name from one address, for a name, and for an address."""

    def __init__(self) -> None:
        self._pair = RateLimit(1 / 30, 5)
        self._name = RateLimit(1 / 10, 30)
        self._address = RateLimit(1, 30)
        self.hashes = asyncio.Semaphore(_MOST_HASHES_AT_ONCE)
        self._refused = 0
        self._logged_at = -math.inf

    def check(self, name: str, address: str) -> None:
        """Raise `ProblemError` where too many tries have failed."""
        self._pair.check(f"{address} {name}", "")
        self._name.check(name, "")
        self._address.check(address, "")

    def refused(self) -> None:
        """Count a try that was refused unread, and log the number of them, at most once a minute."""
        self._refused += 1
        now = time.monotonic()
        if now - self._logged_at >= _LOGGED_EVERY_SECONDS:
            log.warning("sign_in_throttled", requests=self._refused)
            self._refused, self._logged_at = 0, now

    def failed(self, name: str, address: str) -> None:
        """Count a try that failed."""
        self._pair.take(f"{address} {name}", "")
        self._name.take(name, "")
        self._address.take(address, "")


@router.get(SIGN_IN_PATH)
async def show(request: Request, next: str = "/") -> Response:  # noqa: A002 - the parameter's usual name
    """Show the form; who is signed in goes on."""
    if await people.find(request) is not None:
        return RedirectResponse(safe(next), 303)
    return _form(request, next)


@router.post(SIGN_IN_PATH)
async def sign_in(
    request: Request,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",  # noqa: A002 - as above
) -> Response:
    """Begin a session for the right name and password."""
    await people.check_form(request, people.visit_token(people.visit_of(request)))
    limits: SignInLimits = request.app.state.sign_in_limits
    address = request.client.host if request.client else ""
    name = name.strip()[:200]
    # Checked within: else guesses that are sent at once would all pass before the first has failed.
    async with limits.hashes:
        try:
            limits.check(name, address)
        except ProblemError as error:
            limits.refused()
            return _form(request, next, "too_many", status=429, wait=error.headers["Retry-After"])
        secret = await run_in_threadpool(users.sign_in, database_of(request), name, password)
        if secret is None:
            limits.failed(name, address)
            return _form(request, next, "wrong", status=403)
    old = people.session_secret(request)
    if old:
        await run_in_threadpool(web_sessions.end, database_of(request), old)
    answer = RedirectResponse(safe(next), 303)
    people.keep_session(request, answer, secret)
    return answer


@router.post("/salir")
async def sign_out(request: Request, _: Viewer) -> Response:
    """End the session."""
    await run_in_threadpool(web_sessions.end, database_of(request), people.session_secret(request))
    answer = RedirectResponse(SIGN_IN_PATH, 303)
    people.forget_session(request, answer)
    return answer


@router.post("/idioma")
async def choose_language(
    language: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",  # noqa: A002 - as above
) -> Response:
    """Keep the language that a person chose; anybody may, and it changes nothing else."""
    answer = RedirectResponse(safe(next), 303)
    chosen = known(language)
    if chosen is not None:
        answer.set_cookie(LANGUAGE_COOKIE, chosen, max_age=_YEAR_SECONDS, path="/", httponly=True, samesite="lax")
    return answer


def safe(address: str) -> str:
    """Return an address if it is one of this site, else the first page.

    Args:
        address: what a form or a link says, so anything.
    """
    # "//host" and "/\host" are other sites for a browser.
    inside = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    own = inside and "\\" not in address and len(address) <= _LONGEST_NEXT and not address.startswith(SIGN_IN_PATH)
    return address if own else "/"


def _form(
    request: Request,
    next: str,  # noqa: A002 - as above
    problem: str | None = None,
    *,
    status: int = 200,
    wait: str = "",
) -> Response:
    visit = people.visit_of(request)
    answer = render(
        request,
        "sign_in.html.j2",
        status=status,
        next=safe(next),
        csrf=people.visit_token(visit),
        problem=problem,
        wait=wait,
    )
    people.keep_visit(request, answer, visit)
    if wait:
        answer.headers["Retry-After"] = wait
    return answer
