"""Templates and what each of them has: texts, the person, the address of a static file, times in the zone of the page.

Every value is escaped; a name that a template does not get is an error, not an empty place.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

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
    text = _templates.get_template(template).render(_values(request, values))
    return HTMLResponse(text, status, _headers(request))


def render_in_parts(request: Request, template: str, **values: Any) -> StreamingResponse:  # noqa: ANN401 - of the template
    """Return a page whose beginning is sent before the rest is there; arguments as of `render`.

    The page is cut where the template writes `send_now`. What is slow is a function among `values` that the template
    calls after it; the function must not fail, because the status has been sent.
    """
    parts = _templates.get_template(template).generate(_values(request, {**values, "send_now": _SEND_NOW}))
    # A proxy such as nginx would otherwise keep the beginning until the page is complete.
    headers = {**_headers(request), "X-Accel-Buffering": "no"}
    return StreamingResponse(_joined(parts), 200, headers, media_type="text/html")


_SEND_NOW: Final = Markup("<!-- more follows -->")


def _joined(parts: Iterator[str]) -> Iterator[str]:
    """Yield a page in as many pieces as it has cuts, and one more."""
    piece: list[str] = []
    for part in parts:
        piece.append(part)
        if part == _SEND_NOW:
            yield "".join(piece)
            piece.clear()
    yield "".join(piece)


def _values(request: Request, given: Mapping[str, Any]) -> dict[str, Any]:
    words = words_of(request)
    person: Person | None = getattr(request.state, "person", None)
    zone: ZoneInfo = request.app.state.zone
    return {
        "t": words,
        "person": person,
        "path": request.url.path,
        "flash": _flash(request, words),
        "time": lambda at: _time(at, zone),
        "zone": zone.key,
        "number": number,
        "span": lambda seconds: span(seconds, words.language),
        "query_with": lambda **changes: query_with(request, changes),
        **given,
    }


def _headers(request: Request) -> dict[str, str]:
    language = words_of(request).language
    return {"Content-Security-Policy": SECURITY_POLICY, "Content-Language": language, "Vary": "Accept-Language"}


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
