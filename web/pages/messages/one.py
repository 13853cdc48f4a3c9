"""One message: what it waits for, its history, and what a person can do with it."""

import datetime as dt
import functools
import re
from collections.abc import Callable
from typing import Annotated, Final

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from smsclick._database.engine import Database
from smsclick._values import harmless
from smsclick.contract import Priority
from smsclick.errors import MessageNotFound, NotAllowed, SmsclickError
from web.bodies import LARGEST_ID
from web.pages.messages import possible, timeline
from web.pages.messages.possible import Act
from web.pages.messages.remedies import REMEDIES
from web.pages.messages.shown import Veil, state_of
from web.pages.people import Operator, PageError, Person, Viewer
from web.pages.rendering import done, render
from web.pages.words import words_of
from web.shared import database_of, settings_of
from worker.operator import message_changes, message_history, unknowns
from worker.operator.message_changes import Result
from worker.operator.message_history import MessageHistory
from worker.operator.unknowns import IdMensajeOwnedError
from worker.operator.waiting.facts import Limits
from worker.operator.waiting.sentences import sentence

router: Final = APIRouter(include_in_schema=False)

MessageId = Annotated[int, Path(ge=1, le=LARGEST_ID)]
_ID_MENSAJE: Final = re.compile(r"[0-9]{1,18}")


@router.get("/mensajes/{message_id}")
async def show(request: Request, person: Viewer, message_id: MessageId) -> Response:
    """Show one message."""
    return await _page(request, person, message_id)


@router.post("/mensajes/{message_id}/{act}")
async def carry_out(
    request: Request,
    person: Operator,
    message_id: MessageId,
    act: Act,
    sure: Annotated[str, Form()] = "",
    attempt: Annotated[str, Form()] = "",
    id_mensaje: Annotated[str, Form()] = "",
) -> Response:
    """Carry out an act that the person confirmed, if the message is still as the form showed it."""
    given = id_mensaje.strip()
    if sure != "yes" or not attempt.isascii() or not attempt.isdigit():
        raise PageError(422, "invalid")
    if act is Act.ACCEPTED and _ID_MENSAJE.fullmatch(given) is None:
        return await _page(request, person, message_id, problem="act.accepted.bad_id", status=422)
    database = database_of(request)
    name, seen = f"id:{message_id}", int(attempt)
    try:
        problem = (await run_in_threadpool(_WORK[act], database, name, given, person.actor, seen)).problem
    except NotAllowed as error:
        problem = error
    if problem is not None:
        return await _refused(request, person, message_id, problem)
    return done(f"/mensajes/{message_id}", f"act_{act.name.lower()}")


async def _refused(request: Request, person: Person, message_id: int, problem: SmsclickError) -> Response:
    if isinstance(problem, MessageNotFound):
        raise PageError(404, "no_such_message")
    text = "act.accepted.owned" if isinstance(problem, IdMensajeOwnedError) else "act.changed"
    return await _page(request, person, message_id, problem=text, status=409)


def _cancel(database: Database, name: str, _: str, actor: str, seen: int) -> Result:
    [result] = message_changes.cancel(database, [name], actor=actor, attempt=seen)
    return result


def _retry(database: Database, name: str, _: str, actor: str, seen: int) -> Result:
    [result] = message_changes.retry(database, [name], actor=actor, attempt=seen)
    return result


def _resend(database: Database, name: str, _: str, actor: str, seen: int) -> Result:
    [result] = message_changes.retry(database, [name], actor=actor, even_if_unknown=True, attempt=seen)
    return result


def _accepted(database: Database, name: str, id_mensaje: str, actor: str, seen: int) -> Result:
    return unknowns.decide(database, name, int(id_mensaje), actor, attempt=seen)


def _not_accepted(database: Database, name: str, _: str, actor: str, seen: int) -> Result:
    return unknowns.decide(database, name, None, actor, attempt=seen)


_WORK: Final[dict[Act, Callable[[Database, str, str, str, int], Result]]] = {
    Act.CANCEL: _cancel,
    Act.RETRY: _retry,
    Act.RESEND: _resend,
    Act.ACCEPTED: _accepted,
    Act.NOT_ACCEPTED: _not_accepted,
}


async def _page(
    request: Request, person: Person, message_id: int, *, problem: str | None = None, status: int = 200
) -> Response:
    words = words_of(request)
    settings = settings_of(request)

    def read() -> MessageHistory:
        return message_history.read(
            database_of(request),
            f"id:{message_id}",
            limits=Limits.of(settings),
            language=words.language,
            zone=settings.zone,
        )

    try:
        found = await run_in_threadpool(read)
    except MessageNotFound:
        raise PageError(404, "no_such_message") from None
    message = found.message
    phone = str(message["phone"] or "")
    veil = Veil(person.sight, phone)
    say = functools.partial(
        sentence, now=found.now, language=words.language, zone=settings.zone, remedies=REMEDIES[words.language]
    )
    sentences = [veil(say(each)) for each in found.waiting]
    return render(
        request,
        "message.html.j2",
        status=status,
        problem=problem,
        id=message_id,
        state=state_of(message["state"]),
        waits=sentences[0],
        further=sentences[1:],
        phone=person.sight.phone(harmless.for_terminal(phone)),
        text=veil.secret(message["text"]),
        reply=veil.secret(message["reply"]),
        replied=message["reply"] is not None,
        message=message,
        veil=veil,
        priority=_priority(message["priority"]),
        meaning=timeline.meaning("" if message["last_code"] is None else str(message["last_code"]), words),
        steps=timeline.steps(message, found.events, words, veil),
        callbacks=found.callbacks,
        incidents=found.incidents,
        acts=possible.acts(message, found.now) if person.is_operator and _readable(found) else [],
        at=lambda value: value if isinstance(value, dt.datetime) else None,
    )


def _readable(found: MessageHistory) -> bool:
    """Whether the row can be acted on; an odd one is put in order by the workers."""
    return not any(each.code == "odd" for each in found.waiting)


def _priority(value: object) -> str:
    names = {int(each): each.name.lower() for each in Priority}
    return names.get(value, "normal") if isinstance(value, int) else "normal"
