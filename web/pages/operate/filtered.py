"""Acts on a filtered set: count what a filter means, confirm the number, then change it in steps of some seconds."""

import dataclasses
import datetime as dt
import functools
import json
import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from smsclick._database.engine import Database
from smsclick._logs.event_log import EventLog
from smsclick._values import times
from smsclick.errors import InvalidTime, SmsclickError
from web.pages.operate import sealed
from web.pages.people import Operator, Person
from web.pages.rendering import render, render_in_parts
from web.shared import database_of
from worker.operator import filtered_changes
from worker.operator.filtered_changes import Count, Filter, FilteredAct, Position
from worker.sql.audit import Act

log = EventLog(__name__)

router: Final = APIRouter(prefix="/operar/conjunto", include_in_schema=False)

STEP_SECONDS: Final = 3.0
"""Of one request; then it answers how far it came."""

_COUNT_SECONDS: Final = 30.0
"""For a set among very many messages; the page has begun meanwhile. Proxies wait a minute for more of an answer."""

_ACTS: Final[dict[str, FilteredAct]] = {"cancel": Act.CANCEL, "retry": Act.RETRY}
_MOST_REFERENCES: Final = 50
_MOST_CODES: Final = 50
_PURPOSE: Final = "filtered act"


@dataclasses.dataclass(frozen=True, slots=True)
class _Chosen:
    """An act and its set, as the form has them and as it is done."""

    act: FilteredAct
    wanted: Filter

    def stored(self, **more: object) -> bytes:
        since, until = (None if at is None else at.isoformat() for at in (self.wanted.since, self.wanted.until))
        given = {
            "act": str(self.act),
            "references": list(self.wanted.references),
            "codes": list(self.wanted.codes),
            "since": since,
            "until": until,
        }
        return json.dumps(given | more).encode()

    @classmethod
    def read(cls, stored: bytes) -> tuple["_Chosen", dict[str, Any]]:
        given: dict[str, Any] = json.loads(stored)
        since, until = (
            None if at is None else dt.datetime.fromisoformat(at) for at in (given["since"], given["until"])
        )
        return cls(_ACTS[given["act"]], Filter(given["references"], given["codes"], since, until)), given


@router.get("")
async def show(request: Request, person: Operator) -> Response:
    """Show the form, and how many messages it means where one was sent."""
    given = {name: request.query_params.get(name, "")[:2000].strip() for name in ("act", *_FIELDS)}
    chosen, problem = _chosen(given, request)
    if chosen is None:
        return render(request, "operate/filtered.html.j2", given=given, problem=problem, count=None)
    return render_in_parts(
        request,
        "operate/filtered.html.j2",
        given=given,
        problem=None,
        count=functools.partial(_count, database_of(request), person, chosen),
        everything=chosen.wanted == Filter(),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Counted:
    """What a set has, and the set with this number, sealed."""

    count: Count
    sealed: str


def _count(database: Database, person: Person, chosen: _Chosen) -> _Counted | None:
    """Count; None where the database does not answer: the page has begun, so its status cannot say so any more."""
    try:
        count = filtered_changes.count(database, chosen.act, chosen.wanted, seconds=_COUNT_SECONDS)
    except (SmsclickError, SQLAlchemyError) as error:
        log.warning("page_failed", error=type(error).__name__)
        return None
    return _Counted(count, sealed.pack(person, _PURPOSE, chosen.stored(total=count.possible)))


@router.post("")
async def begin(request: Request, person: Operator, sealed_set: Annotated[str, Form(alias="set")] = "") -> Response:
    """Begin the act that was confirmed, and do its first step."""
    chosen, given = _Chosen.read(sealed.unpack(person, _PURPOSE, sealed_set))
    position = await run_in_threadpool(
        filtered_changes.begin, database_of(request), chosen.act, chosen.wanted, actor=person.actor
    )
    return await _step(request, person, chosen, position, given["total"])


@router.post("/seguir")
async def go_on(request: Request, person: Operator, sealed_set: Annotated[str, Form(alias="set")] = "") -> Response:
    """Do the next step."""
    chosen, given = _Chosen.read(sealed.unpack(person, f"{_PURPOSE}, begun", sealed_set))
    return await _step(request, person, chosen, Position(**given["position"]), given["total"])


async def _step(request: Request, person: Person, chosen: _Chosen, position: Position, total: int) -> Response:
    position = await run_in_threadpool(
        filtered_changes.proceed,
        database_of(request),
        chosen.act,
        chosen.wanted,
        position,
        actor=person.actor,
        seconds=STEP_SECONDS,
    )
    stored = chosen.stored(total=total, position=dataclasses.asdict(position))
    return render(
        request,
        "operate/filtered_progress.html.j2",
        act=str(chosen.act),
        position=position,
        total=total,
        sealed=sealed.pack(person, f"{_PURPOSE}, begun", stored),
    )


_FIELDS: Final = ("reference", "code", "since", "until")


def _chosen(given: dict[str, str], request: Request) -> tuple[_Chosen | None, str | None]:
    """What the form means, or the text of what is wrong with it; neither where it was not sent."""
    act = _ACTS.get(given["act"])
    if act is None:
        return None, None
    references = [each.strip() for each in given["reference"].split(",") if each.strip()]
    codes = [each.replace("\N{MINUS SIGN}", "-") for each in re.split(r"[,\s]+", given["code"]) if each]
    if len(references) > _MOST_REFERENCES or len(codes) > _MOST_CODES:
        return None, "many"
    if not all(re.fullmatch(r"-?\d{1,6}", each) for each in codes):
        return None, "code"
    zone = request.app.state.zone
    try:
        since = times.parse_time_or_day(given["since"], zone) if given["since"] else None
        until = times.parse_time_or_day(given["until"], zone, end_of_day=True) if given["until"] else None
    except (InvalidTime, OverflowError):
        return None, "time"
    return _Chosen(act, Filter(tuple(references), tuple(int(each) for each in codes), since, until)), None
