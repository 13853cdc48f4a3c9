"""The list of messages and the search: one box that understands a phone, a key, an id, an id_mensaje or a reference.

The box is sent as a form and not as an address, because a phone in an address stays in the browser's history and in
the logs of every proxy on the way.
"""

import dataclasses
import datetime as dt
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from smsclick._database.engine import Database
from smsclick._values import harmless
from smsclick._values.phones import normalize_phone
from smsclick._values.times import parse_time_or_day
from smsclick.contract import State
from smsclick.errors import InvalidPhone, InvalidTime
from web.bodies import LARGEST_ID
from web.pages.masking import Sight, masked
from web.pages.messages.shown import line
from web.pages.people import Person, Viewer
from web.pages.rendering import render
from web.shared import database_of
from worker.operator import message_list, message_names
from worker.operator.message_list import Filters, Page

router: Final = APIRouter(include_in_schema=False)

PAGE_ROWS: Final = 50
_ROWS_LOOKED_AT: Final = 2500
"""For one page: a person waits for it, and can go on."""

_LONGEST_WORD: Final = 200
_FIRST_YEAR, _LAST_YEAR = 1970, 9000


@dataclasses.dataclass(frozen=True, slots=True)
class Sought:
    """What a word was read as, and what was found.

    Attributes:
        word: as the person wrote it.
        kinds: what was looked for, each the last part of a text's code.
        page: the messages.
        exact: whether the word names messages by itself, so that nothing further was listed.
    """

    word: str
    kinds: list[str]
    page: Page
    exact: bool


def search(database: Database, word: str, before: int | None = None) -> Sought:
    """Look for messages by one word.

    Args:
        database: where the messages are.
        word: a phone, a key, an id, an id_mensaje or a reference.
        before: only messages with a lower id, for the next page of a phone or a reference.
    """
    try:
        phone: str | None = normalize_phone(word)
    except InvalidPhone:
        phone = None
    with database.read() as connection:
        named = _named(connection, word)
    kinds = ["key", *(["id", "id_mensaje"] if word.isdigit() else [])]
    if phone is not None:
        page = message_list.read(
            database, Filters(phone=word), limit=PAGE_ROWS, before=before, most_rows=_ROWS_LOOKED_AT
        )
        shown = {each["id"] for each in page.records}
        first = [] if before is not None else [each for each in named if each["id"] not in shown]
        return Sought(word, ["phone", *kinds], Page([*first, *page.records], page.before), exact=False)
    if named:
        return Sought(word, kinds, Page(named, None), exact=True)
    page = message_list.read(
        database, Filters(reference=word), limit=PAGE_ROWS, before=before, most_rows=_ROWS_LOOKED_AT
    )
    return Sought(word, [*kinds, "reference"], page, exact=False)


def _named(connection: sa.Connection, word: str) -> list[dict[str, Any]]:
    ids = dict.fromkeys(message_names.matches(connection, word).values())
    return message_list.records_of(connection, list(ids))


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """The filters of the list, as the person wrote them."""

    state: str = ""
    reference: str = ""
    since: str = ""
    until: str = ""

    def filters(self, zone: ZoneInfo) -> Filters:
        """Return the filters.

        Raises:
            InvalidTime: a time is none.
        """
        return Filters(
            states=frozenset({State(self.state)}) if self.state in set(State) else frozenset(),
            reference=self.reference.strip() or None,
            since=_time(self.since, zone),
            until=_time(self.until, zone, end_of_day=True),
        )

    @property
    def given(self) -> bool:
        """Whether any filter is."""
        return any((self.state, self.reference, self.since, self.until))


@router.get("/mensajes")
async def show(
    request: Request,
    person: Viewer,
    state: Annotated[str, Query(max_length=20)] = "",
    reference: Annotated[str, Query(max_length=_LONGEST_WORD)] = "",
    since: Annotated[str, Query(max_length=40)] = "",
    until: Annotated[str, Query(max_length=40)] = "",
    before: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None,
) -> Response:
    """Show messages, the newest first."""
    asked = Asked(*map(harmless.for_terminal, (state, reference, since, until)))
    try:
        filters = asked.filters(request.app.state.zone)
    except InvalidTime:
        return _page(request, person, Page([], None), asked=asked, problem="messages.bad_time", status=422)
    database = database_of(request)
    found = await run_in_threadpool(
        message_list.read, database, filters, limit=PAGE_ROWS, before=before, most_rows=_ROWS_LOOKED_AT
    )
    return _page(request, person, found, asked=asked, later=before is not None)


@router.post("/mensajes")
async def find(
    request: Request,
    person: Viewer,
    q: Annotated[str, Form()] = "",
    before: Annotated[str, Form()] = "",
) -> Response:
    """Look for messages by the box; the only one that a word names is shown at once."""
    word = q.strip()
    if not word:
        return RedirectResponse("/mensajes", 303)
    if len(word) > _LONGEST_WORD or not word.isprintable():
        return _page(request, person, Page([], None), problem="messages.bad_word", status=422)
    last = int(before) if before.isascii() and before.isdigit() and int(before) <= LARGEST_ID else None
    sought = await run_in_threadpool(search, database_of(request), word, last)
    if sought.exact and len(sought.page.records) == 1:
        return RedirectResponse(f"/mensajes/{sought.page.records[0]['id']}", 303)
    return _page(request, person, sought.page, sought=sought, later=last is not None)


def _page(
    request: Request,
    person: Person,
    found: Page,
    *,
    asked: Asked | None = None,
    sought: Sought | None = None,
    later: bool = False,
    problem: str | None = None,
    status: int = 200,
) -> Response:
    return render(
        request,
        "messages.html.j2",
        status=status,
        lines=[line(each, person.sight) for each in found.records],
        before=found.before,
        later=later,
        asked=asked or Asked(),
        sought=sought,
        word="" if sought is None else _shown(sought, person.sight),
        problem=problem,
        states=list(State),
    )


def _shown(sought: Sought, sight: Sight) -> str:
    """The word in the page's own sentence; a viewer's phone is masked there, as everywhere."""
    return masked(sought.word) if "phone" in sought.kinds and not sight.full else sought.word


def _time(word: str, zone: ZoneInfo, *, end_of_day: bool = False) -> dt.datetime | None:
    if not word.strip():
        return None
    time = parse_time_or_day(word, zone, end_of_day=end_of_day)
    if not _FIRST_YEAR <= time.year <= _LAST_YEAR:
        raise InvalidTime("the year is out of range")
    return time
