"""Callbacks that were given up: show the latest, and have chosen ones delivered again."""

from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from web.pages.people import Operator
from web.pages.rendering import done, render
from web.shared import database_of
from worker.operator.given_up import callbacks

router: Final = APIRouter(prefix="/operar/avisos", include_in_schema=False)

ROWS_OF_A_PAGE: Final = 100


@router.get("")
async def show(request: Request, _: Operator) -> Response:
    """Show the callbacks that were given up last."""
    found = await run_in_threadpool(callbacks.latest, database_of(request), limit=ROWS_OF_A_PAGE + 1)
    return render(request, "operate/callbacks.html.j2", found=found[:ROWS_OF_A_PAGE], more=len(found) > ROWS_OF_A_PAGE)


@router.post("")
async def again(request: Request, person: Operator, ids: Annotated[list[int], Form(alias="id")] = []) -> Response:  # noqa: B006 - FastAPI copies it
    """Have the chosen callbacks delivered again."""
    chosen = ids[:ROWS_OF_A_PAGE]
    replayed = 0
    if chosen:
        replayed = await run_in_threadpool(callbacks.again, database_of(request), chosen, actor=person.actor)
    return done("/operar/avisos", "replayed" if replayed else "none_replayed", replayed)
