"""Who may use the page and the API: a list; commands add and remove."""

from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from web.pages.people import Operator
from web.pages.rendering import render
from web.shared import database_of
from worker.operator.access import tokens, users

router: Final = APIRouter(prefix="/operar/accesos", include_in_schema=False)

MOST_SHOWN: Final = 100
"""Of users, and of tokens; the commands list more."""


@router.get("")
async def show(request: Request, _: Operator) -> Response:
    """Show users and tokens, without anything secret."""
    database = database_of(request)
    # One more says that there are more.
    found = await run_in_threadpool(users.list_all, database, MOST_SHOWN + 1)
    given = await run_in_threadpool(tokens.list_all, database, MOST_SHOWN + 1)
    return render(
        request,
        "operate/access.html.j2",
        users=found[:MOST_SHOWN],
        tokens=given[:MOST_SHOWN],
        more_users=len(found) > MOST_SHOWN,
        more_tokens=len(given) > MOST_SHOWN,
        most=MOST_SHOWN,
    )
