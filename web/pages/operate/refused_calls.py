"""Dead letters: calls of producers that could not become messages. Store their messages after all, or delete them."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from web.pages.people import Operator
from web.pages.rendering import done, render
from web.shared import database_of
from worker.operator.given_up import calls

router: Final = APIRouter(prefix="/operar/llamadas", include_in_schema=False)

ROWS_OF_A_PAGE: Final = 50


@router.get("")
async def show(request: Request, _: Operator) -> Response:
    """Show the latest ones, without their content."""
    found = await run_in_threadpool(calls.latest, database_of(request), limit=ROWS_OF_A_PAGE)
    return render(request, "operate/refused_calls.html.j2", found=found)


@router.post("")
async def act(
    request: Request,
    person: Operator,
    what: Annotated[Literal["retry", "drop"], Form()],
    letter: Annotated[int, Form(alias="id")],
) -> Response:
    """Store the message of one call, or delete the call."""
    database = database_of(request)
    if what == "drop":
        dropped = await run_in_threadpool(calls.drop, database, letter, actor=person.actor)
        return done("/operar/llamadas", "letter_dropped" if dropped else "letter_gone")
    stored = await run_in_threadpool(calls.store, database, letter, actor=person.actor)
    return done("/operar/llamadas", "letter_stored" if stored else "letter_refused")
