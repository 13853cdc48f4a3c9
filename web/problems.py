"""Problem details (RFC 9457): every error of the API as JSON with a documented type."""

import enum
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from smsclick.errors import (
    DatabaseNotMigrated,
    DatabaseUnavailable,
    InvalidMessage,
    KeyConflict,
    MessageNotFound,
    NotAllowed,
    SettingsError,
    SmsclickError,
)

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:smsclick:problem:"


class Kind(enum.Enum):
    """Every problem: its name in the type, the HTTP status, and the title. docs/api.md explains each."""

    BAD_JSON = ("bad-json", 400, "The body is not readable JSON")
    UNAUTHENTICATED = ("unauthenticated", 401, "No valid token came with the request")
    SCOPE_MISSING = ("scope-missing", 403, "The token does not allow this")
    NO_SUCH_MESSAGE = ("no-such-message", 404, "There is no such message")
    NO_SUCH_CALL = ("no-such-call", 404, "There is nothing at this address")
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405, "This address has no such method")
    KEY_CONFLICT = ("key-conflict", 409, "The key belongs to a message with another phone or text")
    STATE_CONFLICT = ("state-conflict", 409, "The message's state does not allow this")
    TOO_LARGE = ("too-large", 413, "The body is too large")
    NOT_JSON = ("not-json", 415, "The body must be application/json")
    INVALID = ("invalid", 422, "The request cannot be carried out as it was given")
    TOO_MANY_REQUESTS = ("too-many-requests", 429, "Too many requests in a short time")
    DEFECT = ("defect", 500, "An error of this program")
    UNAVAILABLE = ("unavailable", 503, "The request cannot be carried out now")

    def __init__(self, word: str, status: int, title: str) -> None:
        self.word = word
        self.status = status
        self.title = title

    @property
    def uri(self) -> str:
        """The `type` of the problem."""
        return TYPE_PREFIX + self.word


class ProblemError(Exception):
    """Ends a request with a problem.

    Args:
        kind: which one.
        detail: one line that says what was wrong and what to do.
        headers: of the answer.
        more: further members.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = dict(more or {})

    def body(self) -> dict[str, Any]:
        """Return the problem as a JSON object."""
        return body(self.kind, self.detail, self.more)

    def response(self) -> JSONResponse:
        """Return the problem as an answer."""
        return JSONResponse(self.body(), self.kind.status, self.headers, MEDIA_TYPE)


def body(kind: Kind, detail: str, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a problem as a JSON object."""
    return {"type": kind.uri, "title": kind.title, "status": kind.status, "detail": detail, **(more or {})}


def of(error: SmsclickError) -> ProblemError:
    """Return the problem that an error of ours is. Its text is made for the person who caused it."""
    match error:
        case KeyConflict():
            return ProblemError(Kind.KEY_CONFLICT, str(error), more={"message_id": error.message_id})
        case InvalidMessage():
            return ProblemError(Kind.INVALID, str(error))
        case MessageNotFound():
            return ProblemError(Kind.NO_SUCH_MESSAGE, str(error))
        case NotAllowed():
            return ProblemError(Kind.STATE_CONFLICT, str(error))
        case DatabaseUnavailable() | DatabaseNotMigrated() | SettingsError():
            # Their texts name hosts and variables of this installation: for its operator, in the log.
            return ProblemError(
                Kind.UNAVAILABLE, "the database cannot be used now; try again", headers={"Retry-After": "5"}
            )
        case _:
            return ProblemError(Kind.UNAVAILABLE, "it could not be done now; try again", headers={"Retry-After": "5"})


async def answer_problem(_: Request, error: Exception) -> JSONResponse:
    """Answer a `ProblemError`."""
    assert isinstance(error, ProblemError)  # noqa: S101 - registered for it
    return error.response()


async def answer_error(_: Request, error: Exception) -> JSONResponse:
    """Answer an error of ours that a call let through."""
    assert isinstance(error, SmsclickError)  # noqa: S101 - registered for it
    return of(error).response()


async def answer_http(request: Request, error: Exception) -> JSONResponse:
    """Answer what the framework refuses: no such address, no such method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    if error.status_code == Kind.METHOD_NOT_ALLOWED.status:
        allowed = _methods(request)
        detail = f"this address has {allowed}"
        return ProblemError(Kind.METHOD_NOT_ALLOWED, detail, headers={"Allow": allowed}).response()
    if error.status_code == Kind.NO_SUCH_CALL.status:
        return ProblemError(Kind.NO_SUCH_CALL, "GET /openapi.json lists all calls").response()
    kind = Kind.DEFECT if error.status_code >= Kind.DEFECT.status else Kind.INVALID
    return ProblemError(kind, kind.title, headers=error.headers).response()


def _methods(request: Request) -> str:
    """Return the methods that a request's address has; the framework names those of its first route only."""
    found: set[str] = set()
    for route in request.app.state.calls:
        match, _ = route.matches({**request.scope, "method": None})
        if match is not Match.NONE:
            found |= route.methods
    return ", ".join(sorted(found))


async def answer_validation(_: Request, error: Exception) -> JSONResponse:
    """Answer parameters that are not as described; the values are not repeated."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    return ProblemError(Kind.INVALID, explain(error.errors())).response()


def explain(problems: Sequence[Any]) -> str:
    """Return pydantic's errors as one line: where and what, without the values.

    Args:
        problems: as `ValidationError.errors` returns them.
    """
    lines = []
    for each in problems[:3]:
        place = ".".join(_shown(part) for part in each["loc"] if part not in _PLACES)
        lines.append(f"{place}: {each['msg']}" if place else str(each["msg"]))
    rest = len(problems) - len(lines)
    return "; ".join(lines) + (f"; and {rest} more" if rest > 0 else "")


_PLACES: Final = frozenset({"query", "path", "header", "body", "str", "int", "constrained-str", "constrained-int"})
"""Parts of a place that pydantic adds, and that nobody wrote."""


def _shown(part: object) -> str:
    """A field's name; one that is no name may be a phone or a text in the wrong place."""
    return str(part) if isinstance(part, int) or re.fullmatch(r"[A-Za-z][A-Za-z_-]{0,30}", str(part)) else "(a field)"
