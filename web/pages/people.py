"""Who is signed in: the cookie of a request, its session, roles, and the check of each form.

A form is carried out only with the token of the session that it was shown in (`csrf` in the form): another site can
make a browser send a form, but does not know this token. The token is made from the cookie's secret, so nothing is
stored for it.
"""

import dataclasses
import hashlib
import hmac
import secrets
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import Depends, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from web.pages.masking import Sight
from web.shared import database_of
from worker.operator.access import web_sessions
from worker.operator.access.users import Role

CSRF_FIELD: Final = "csrf"
SIGN_IN_PATH: Final = "/entrar"

_SECURE_COOKIE: Final = "__Host-smsclick-session"
_LOOPBACK_COOKIE: Final = "smsclick-session"
_VISIT: Final = "smsclick-visit"
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_UNCHANGING: Final = frozenset({"GET", "HEAD"})


@dataclasses.dataclass(frozen=True, slots=True)
class Person:
    """The person who is signed in.

    Attributes:
        name: of the user.
        role: what the person may do.
        csrf: the token that each of the person's forms must hold.
    """

    name: str
    role: Role
    csrf: str

    @property
    def actor(self) -> str:
        """Who acts, for events and the audit."""
        return self.name

    @property
    def is_operator(self) -> bool:
        """Whether the person may act."""
        return self.role is Role.OPERATOR

    @property
    def sight(self) -> Sight:
        """What the person may see."""
        return Sight(self.role)


class SignInNeededError(Exception):
    """Nobody is signed in; the answer leads to the sign-in."""

    def __init__(self, request: Request) -> None:
        super().__init__("nobody is signed in")
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        # After a form was sent there is no page to come back to.
        wanted = request.method in _UNCHANGING and path != "/"
        self.location = f"{SIGN_IN_PATH}?next={quote(path, safe='')}" if wanted else SIGN_IN_PATH


class PageError(Exception):
    """Ends a request with a page that says what was wrong.

    Args:
        status: of the answer.
        code: of the text, `error.CODE` in the catalogues.
    """

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


class Requires:
    """A dependency: the person who is signed in, who must have one of the roles; a form must hold the session's token.

    Args:
        roles: any of these is enough.
        in_use: whether a person asks; see `find`.
    """

    def __init__(self, *roles: Role, in_use: bool = True) -> None:
        self.roles = frozenset(roles)
        self._in_use = in_use

    async def __call__(self, request: Request) -> Person:
        """Return the person."""
        person = await find(request, in_use=self._in_use)
        if person is None:
            raise SignInNeededError(request)
        request.state.person = person
        if person.role not in self.roles:
            raise PageError(403, "role")
        await check_form(request, person.csrf)
        return person


Viewer = Annotated[Person, Depends(Requires(Role.VIEWER, Role.OPERATOR))]
"""Anybody who is signed in."""

ViewerWindow = Annotated[Person, Depends(Requires(Role.VIEWER, Role.OPERATOR, in_use=False))]
"""The open window of anybody who is signed in, which asks by itself."""

Operator = Annotated[Person, Depends(Requires(Role.OPERATOR))]
"""A person who sees and does everything."""


async def find(request: Request, *, in_use: bool = True) -> Person | None:
    """Return the person who is signed in; None where nobody is.

    Args:
        request: with the session's cookie.
        in_use: whether a person asks; an open window that asks by itself must not keep a session alive.
    """
    secret = request.cookies.get(_cookie(request), "")
    if not secret:
        return None
    session = await run_in_threadpool(web_sessions.find, database_of(request), secret, in_use=in_use)
    if session is None or session.role not in set(Role):
        return None
    return Person(name=session.name, role=Role(session.role), csrf=_token(secret))


async def check_form(request: Request, expected: str) -> None:
    """Raise `PageError` unless a request changes nothing, or is a form that holds the expected token."""
    if request.method in _UNCHANGING:
        return
    given = (await request.form()).get(CSRF_FIELD)
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), expected.encode()):
        raise PageError(403, "csrf")


def visit_of(request: Request) -> str:
    """Return the secret of a visit without a session, for the token of the sign-in's form."""
    return request.cookies.get(_VISIT) or secrets.token_urlsafe(32)


def visit_token(visit: str) -> str:
    """Return the token that the sign-in's form must hold."""
    return _token(visit)


def keep_visit(request: Request, answer: Response, visit: str) -> None:
    """Have the browser keep the secret of a visit."""
    answer.set_cookie(_VISIT, visit, path=SIGN_IN_PATH, httponly=True, samesite="strict", secure=is_secure(request))


def keep_session(request: Request, answer: Response, secret: str) -> None:
    """Have the browser keep a session until it is closed; `lax`, so that a link in an alert leads to the page."""
    answer.set_cookie(_cookie(request), secret, path="/", httponly=True, samesite="lax", secure=is_secure(request))


def forget_session(request: Request, answer: Response) -> None:
    """Have the browser forget its session."""
    answer.delete_cookie(_cookie(request), path="/", httponly=True, samesite="lax", secure=is_secure(request))


def session_secret(request: Request) -> str:
    """Return the secret of the request's session; empty where there is none."""
    return request.cookies.get(_cookie(request), "")


def is_secure(request: Request) -> bool:
    """Whether cookies may travel by TLS only: always, except on this machine, where there is nobody in between."""
    return request.url.hostname not in _LOOPBACK


def _cookie(request: Request) -> str:
    return _SECURE_COOKIE if is_secure(request) else _LOOPBACK_COOKIE


def _token(secret: str) -> str:
    return hmac.new(secret.encode(), b"smsclick form", hashlib.sha256).hexdigest()
