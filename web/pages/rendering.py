"""Templates and what each of them has: texts, the person, the address of a static file, times in the zone of the page.

Every value is escaped; a name that a template does not get is an error, not an empty place.
"""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from web.pages import static_files
from web.pages.numbers import number, span
from web.pages.people import CSRF_FIELD, Person
from web.pages.words import Words, words_of

SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""Nothing from elsewhere, no script or style within a page, and no frame around it."""

DONE: Final = "done"
"""The query parameter that names what a form has done: the text `flash.CODE`."""

COUNT: Final = "count"
"""The query parameter with the number in that text."""

_MOST_DIGITS: Final = 12


def _time(at: dt.datetime | None, zone: ZoneInfo) -> str:
    return "" if at is None else at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


_templates: Final = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals.update(static=static_files.address, csrf_field=CSRF_FIELD)


def render(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:  # noqa: ANN401 - of the template
    """Return a page.

    Args:
        request: that the page answers.
        template: its file in `web/pages/templates`.
        status: of the answer.
        values: what the template shows; besides it has `t` (texts), `person` (None where nobody is signed in), `path`,
            `flash` (a text or None), `time`, `number` and `span` (they write values), `zone` and `query_with`.
    """
    words = words_of(request)
    person: Person | None = getattr(request.state, "person", None)
    zone: ZoneInfo = request.app.state.zone
    text = _templates.get_template(template).render(
        t=words,
        person=person,
        path=request.url.path,
        flash=_flash(request, words),
        time=lambda at: _time(at, zone),
        zone=zone.key,
        number=number,
        span=lambda seconds: span(seconds, words.language),
        query_with=lambda **changes: query_with(request, changes),
        **values,
    )
    return HTMLResponse(
        text,
        status,
        {"Content-Security-Policy": SECURITY_POLICY, "Content-Language": words.language, "Vary": "Accept-Language"},
    )


def done(path: str, code: str, count: int | None = None, **query: str) -> RedirectResponse:
    """Return the answer to a form that was carried out: the browser gets the page at `path` with a message.

    Args:
        path: of this site.
        code: of the text `flash.CODE`.
        count: a number in the text.
        query: further parameters of the address.
    """
    parameters = {**query, DONE: code, **({} if count is None else {COUNT: str(count)})}
    return RedirectResponse(f"{path}?{urlencode(parameters)}", 303)


def query_with(request: Request, changes: Mapping[str, object]) -> str:
    """Return the address of a page with some of its parameters changed; None takes one out, as it does the message."""
    parameters: dict[str, Any] = dict(request.query_params)
    changes = {DONE: None, COUNT: None, **changes}
    for name, value in changes.items():
        if value is None:
            parameters.pop(name, None)
        else:
            parameters[name] = value
    return f"{request.url.path}?{urlencode(parameters)}" if parameters else request.url.path


def _flash(request: Request, words: Words) -> str | None:
    """The message of an address: one of our texts and a number, and nothing else that an address holds."""
    code = f"flash.{request.query_params.get(DONE, '')}"
    count = request.query_params.get(COUNT, "0")
    if not words.has(code) or not count.isascii() or not count.isdigit() or len(count) > _MOST_DIGITS:
        return None
    return words(code, count=f"{int(count):,}")
