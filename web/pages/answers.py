"""Errors of the page's routes as pages: what was wrong, in the person's language, and never a driver's words."""

from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from smsclick._logs.event_log import EventLog
from smsclick.errors import DatabaseNotMigrated, DatabaseUnavailable, MessageNotFound, NotAllowed, SmsclickError
from web import problems
from web.pages.people import PageError, SignInNeededError
from web.pages.rendering import render
from web.problems import Kind, ProblemError

log = EventLog(__name__)

_OF_THE_API: Final = ("/v1/", "/healthz", "/readyz", "/metrics", "/openapi.json")


def install(app: FastAPI) -> None:
    """Have errors answered as pages where a page was asked for, and as problem details of the API elsewhere."""
    app.add_exception_handler(SignInNeededError, _sign_in)
    app.add_exception_handler(PageError, _page_error)
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(SmsclickError, _error)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)


def is_page(request: Request) -> bool:
    """Whether a request asks for a page: its address is none of the API's, and a browser sent it."""
    path = request.url.path
    return not path.startswith(_OF_THE_API) and "text/html" in request.headers.get("Accept", "")


def error_page(request: Request, status: int, code: str) -> Response:
    """Return a page with the text `error.CODE`."""
    return render(request, "error.html.j2", status=status, code=code)


async def defect(request: Request) -> Response:
    """Return the answer to a defect of ours."""
    if is_page(request):
        return error_page(request, 500, "defect")
    return ProblemError(Kind.DEFECT, "this request could not be carried out").response()


async def _sign_in(_: Request, error: Exception) -> Response:
    assert isinstance(error, SignInNeededError)  # noqa: S101 - registered for it
    return RedirectResponse(error.location, 303)


async def _page_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PageError)  # noqa: S101 - registered for it
    return error_page(request, error.status, error.code)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101 - registered for it
    if not is_page(request):
        return await problems.answer_problem(request, error)
    code = {Kind.TOO_LARGE: "too_large", Kind.TOO_MANY_REQUESTS: "too_many"}.get(error.kind, "invalid")
    answer = error_page(request, error.kind.status, code)
    answer.headers.update(error.headers)
    return answer


async def _error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SmsclickError)  # noqa: S101 - registered for it
    if not is_page(request):
        return await problems.answer_error(request, error)
    match error:
        case MessageNotFound():
            return error_page(request, 404, "no_such_message")
        case NotAllowed():
            return error_page(request, 409, "not_possible_now")
        case DatabaseUnavailable() | DatabaseNotMigrated():
            return error_page(request, 503, "database")
        case _:
            log.warning("page_failed", error=type(error).__name__)
            return error_page(request, 503, "unavailable")


async def _validation(request: Request, error: Exception) -> Response:
    return error_page(request, 422, "invalid") if is_page(request) else await problems.answer_validation(request, error)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    if not is_page(request):
        return await problems.answer_http(request, error)
    code = {404: "not_found", 405: "method"}.get(error.status_code, "invalid")
    return error_page(request, error.status_code, code)
