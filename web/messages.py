"""The calls about messages: enqueue, list, show, cancel, retry."""

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any, Final

import pydantic_core
from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from smsclick._enqueue.message import NewMessage, valid_key
from smsclick._values.times import iso, parse_time
from smsclick.errors import InvalidField, InvalidMessage
from web.authentication import Operator, Reader, Sender, actor_of
from web.bodies import (
    LARGEST_ID,
    Changed,
    ListQuery,
    ManyMessages,
    OneMessage,
    RecordPage,
    RecordWithHistory,
    Stored,
)
from web.description import ENQUEUE_BODY, answers
from web.group_store import GroupStore, Outcome
from web.problems import Kind, ProblemError, explain, of
from web.shared import database_of, settings_of, store_of
from worker.operator import message_changes, message_history, message_list
from worker.operator.exporting import FIELDS
from worker.operator.message_changes import Result
from worker.operator.message_list import Filters
from worker.operator.waiting.facts import Limits

router: Final = APIRouter(prefix="/v1/messages", tags=["messages"])

_FIRST_YEAR, _LAST_YEAR = 1970, 9000

MessageId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The message's id.")]
KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=202,
        description="The key of a single message that has none in its body.",
    ),
]


@router.post(
    "",
    status_code=202,
    openapi_extra=ENQUEUE_BODY,
    responses=answers(
        Kind.BAD_JSON,
        Kind.UNAUTHENTICATED,
        Kind.SCOPE_MISSING,
        Kind.KEY_CONFLICT,
        Kind.TOO_LARGE,
        Kind.NOT_JSON,
        Kind.INVALID,
        Kind.TOO_MANY_REQUESTS,
        Kind.UNAVAILABLE,
    ),
    response_model=Stored | list[Any],
)
async def enqueue(request: Request, _: Sender, idempotency_key: KeyHeader = None) -> JSONResponse:
    """Enqueue one message, or up to 1,000. The answer 202 comes after the commit: then nothing is lost any more."""
    content = await _json_of(request)
    store = store_of(request)
    if "messages" in content:
        if idempotency_key is not None:
            raise ProblemError(
                Kind.INVALID, "Idempotency-Key: is the key of a single message; give each of these a key of its own"
            )
        return JSONResponse(await _store_many(store, content, request.headers), 202)
    new = _valid(content, idempotency_key)
    [outcome] = await store.store([new], request.headers)
    if outcome.conflict:
        raise _conflict(outcome)
    return JSONResponse(_result(outcome), 202)


@router.get(
    "",
    response_model=RecordPage,
    responses=answers(Kind.UNAUTHENTICATED, Kind.SCOPE_MISSING, Kind.INVALID, Kind.TOO_MANY_REQUESTS, Kind.UNAVAILABLE),
)
async def list_messages(request: Request, _: Reader, query: Annotated[ListQuery, Query()]) -> JSONResponse:
    """List messages, the newest first. A page may be short or empty although `cursor` leads on: go on until null."""
    filters = Filters(
        key=None if query.key is None else valid_key(query.key),
        phone=query.phone,
        states=frozenset(query.state),
        reference=query.reference,
        since=_time("since", query.since),
        until=_time("until", query.until),
    )
    before = None if query.cursor is None else min(int(query.cursor), LARGEST_ID)
    database = database_of(request)
    page = await run_in_threadpool(message_list.read, database, filters, limit=query.limit, before=before)
    cursor = None if page.before is None else str(page.before)
    return JSONResponse({"messages": [_record(each) for each in page.records], "cursor": cursor})


_ABOUT_ONE: Final = (
    Kind.UNAUTHENTICATED,
    Kind.SCOPE_MISSING,
    Kind.NO_SUCH_MESSAGE,
    Kind.INVALID,
    Kind.TOO_MANY_REQUESTS,
    Kind.UNAVAILABLE,
)


@router.get("/{message_id}", response_model=RecordWithHistory, responses=answers(*_ABOUT_ONE))
async def show(request: Request, _: Reader, message_id: MessageId) -> JSONResponse:
    """Show one message with its history, and what happens to it next."""
    database, settings = database_of(request), settings_of(request)
    found = await run_in_threadpool(
        message_history.read, database, f"id:{message_id}", limits=Limits.of(settings), zone=settings.zone
    )
    record = _record({name: found.message[name] for name in FIELDS})
    names = ("at", "from_state", "to_state", "cause", "attempt", "code", "description", "id_mensaje")
    events = [{name: _plain(event[name]) for name in names} for event in found.events]
    waiting = [{"code": each.code, "until": _plain(each.until)} for each in found.waiting]
    return JSONResponse(record | {"next": found.next, "waiting": waiting, "events": events})


@router.post("/{message_id}/cancel", response_model=Changed, responses=answers(*_ABOUT_ONE, Kind.STATE_CONFLICT))
async def cancel(request: Request, token: Operator, message_id: MessageId) -> JSONResponse:
    """Cancel a message that is still queued."""
    database = database_of(request)

    def work() -> Result:
        [result] = message_changes.cancel(database, [f"id:{message_id}"], actor=actor_of(token))
        return result

    return _changed(await run_in_threadpool(work), "cancelled")


@router.post("/{message_id}/retry", response_model=Changed, responses=answers(*_ABOUT_ONE, Kind.STATE_CONFLICT))
async def retry(request: Request, token: Operator, message_id: MessageId) -> JSONResponse:
    """Queue a failed message again."""
    database = database_of(request)

    def work() -> Result:
        [result] = message_changes.retry(database, [f"id:{message_id}"], actor=actor_of(token))
        return result

    return _changed(await run_in_threadpool(work), "queued")


def _time(name: str, word: str | None) -> dt.datetime | None:
    if word is None:
        return None
    time = parse_time(name, word)
    if not _FIRST_YEAR <= time.year <= _LAST_YEAR:
        raise InvalidField(f"{name}: give a year from {_FIRST_YEAR} to {_LAST_YEAR}")
    return time


def _changed(result: Result, state: str) -> JSONResponse:
    if result.problem is not None:
        raise of(result.problem)
    return JSONResponse({"id": result.id, "state": state})


async def _json_of(request: Request) -> dict[str, Any]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ProblemError(Kind.NOT_JSON, "send the header Content-Type: application/json")
    try:
        content = pydantic_core.from_json(await request.body(), allow_inf_nan=False)
    except ValueError:
        # The parser's words may repeat a part of the body.
        raise ProblemError(Kind.BAD_JSON, "send JSON in UTF-8: an object for one message") from None
    if not isinstance(content, dict):
        raise ProblemError(Kind.INVALID, 'send an object: a message, or {"messages": [...]}')
    return content


def _valid(content: object, key: str | None = None) -> NewMessage:
    """Return a message that may be stored.

    Raises:
        ProblemError: it may not.
    """
    try:
        given = OneMessage.model_validate(content).model_dump(exclude_unset=True)
        if key is not None:
            given = _with_key(given, key)
        return NewMessage.from_mapping(given)
    except ValidationError as error:
        raise ProblemError(Kind.INVALID, explain(error.errors(include_url=False, include_input=False))) from None
    except InvalidMessage as error:
        raise of(error) from None


def _with_key(given: dict[str, Any], header: str) -> dict[str, Any]:
    # A structured header is a string in quotes; most clients send it without.
    key = header[1:-1] if len(header) > 2 and header[0] == header[-1] == '"' else header
    in_body = given.get("key", given.get("clave"))
    if in_body and in_body.strip() != key.strip():
        raise InvalidField("Idempotency-Key: the body has another key; give one of the two")
    return given if in_body else given | {"key": key}


async def _store_many(store: GroupStore, content: dict[str, Any], headers: Mapping[str, str]) -> list[dict[str, Any]]:
    try:
        many = ManyMessages.model_validate(content).messages
    except ValidationError as error:
        raise ProblemError(Kind.INVALID, explain(error.errors(include_url=False, include_input=False))) from None
    answer: list[dict[str, Any]] = []
    new: list[NewMessage] = []
    places: list[int] = []
    for place, each in enumerate(many):
        try:
            new.append(_valid(each))
        except ProblemError as problem:
            answer.append(problem.body())
        else:
            places.append(place)
            answer.append({})
    for place, outcome in zip(places, await store.store(new, headers) if new else (), strict=True):
        answer[place] = _conflict(outcome).body() if outcome.conflict else _result(outcome)
    return answer


def _result(outcome: Outcome) -> dict[str, Any]:
    return {"id": outcome.id, "key": outcome.key, "state": str(outcome.state), "new": outcome.new}


def _conflict(outcome: Outcome) -> ProblemError:
    detail = (
        f"the key already belongs to message {outcome.id}, which has another phone or text: "
        "use a new key for a new message"
    )
    return ProblemError(Kind.KEY_CONFLICT, detail, more={"key": outcome.key, "message_id": outcome.id})


def _record(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON
    return iso(value) if isinstance(value, dt.datetime) else value
