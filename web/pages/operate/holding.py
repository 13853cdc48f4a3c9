"""The view's first page: hold and resume, and the ways to the other acts."""

from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from smsclick._database.engine import Database
from web.pages.people import Operator
from web.pages.rendering import done, render
from web.pages.words import words_of
from web.shared import database_of
from worker.account import account_state
from worker.operator import account
from worker.operator.account import REASON_CHARACTERS, Hold, HoldCode

router: Final = APIRouter(prefix="/operar", include_in_schema=False)


@router.get("")
async def show(request: Request, _: Operator) -> Response:
    """Show whether sending is held, and what can be done."""
    found = await run_in_threadpool(_holds, database_of(request))
    return render(
        request,
        "operate/index.html.j2",
        holds=found,
        reasons=[each.words(words_of(request).language) for each in found],
        by_operator=next((each for each in found if each.code is HoldCode.OPERATOR), None),
        most_characters=REASON_CHARACTERS,
    )


@router.post("/detener")
async def hold(request: Request, person: Operator, why: Annotated[str, Form()] = "") -> Response:
    """Stop sending until resume."""
    changed = await run_in_threadpool(account.hold, database_of(request), actor=person.actor, why=why[:2000])
    return done("/operar", "held" if changed else "held_already")


@router.post("/reanudar")
async def resume(request: Request, person: Operator) -> Response:
    """Lift the operator's hold; another reason may still hold the account."""
    state = await run_in_threadpool(account.resume, database_of(request), actor=person.actor)
    return done("/operar", "resumed" if state.is_open else "resumed_but_held")


def _holds(database: Database) -> list[Hold]:
    with database.read() as connection:
        return account.in_force(account_state.read(connection))
