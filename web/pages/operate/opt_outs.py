"""Phones that are never written to: the list by page, one phone, and a file of them."""

import io
from typing import Annotated, Final

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from smsclick._database.engine import Database
from smsclick._values.phones import normalize_phone
from smsclick._values.refusals import Refusal
from smsclick.errors import InvalidField, InvalidPhone
from web.pages.operate import uploads
from web.pages.people import Operator
from web.pages.rendering import done, render
from web.shared import database_of
from worker.queue import optouts
from worker.queue.optouts import OptOut, Summary

router: Final = APIRouter(prefix="/operar/bajas", include_in_schema=False)

MOST_BYTES: Final = 1_000_000
ROWS_OF_A_PAGE: Final = 25
_MOST_SHOWN: Final = 100


@router.get("")
async def show(request: Request, _: Operator, after: str = "", phone: str = "") -> Response:
    """Show a part of the list, or the opt-out of one phone."""
    return await _list(request, after=after[:20], phone=phone[:40].strip())


@router.post("")
async def add(
    request: Request, person: Operator, phone: Annotated[str, Form()] = "", reason: Annotated[str, Form()] = ""
) -> Response:
    """Put a phone on the list."""
    why = reason.strip() or None
    try:
        added = await run_in_threadpool(optouts.add, database_of(request), [phone], why, actor=person.actor)
    except InvalidPhone:
        return await _list(request, problem="phone", status=422)
    except InvalidField:
        return await _list(request, problem="reason", status=422)
    return done("/operar/bajas", "optout_added" if added else "optout_known")


@router.post("/quitar")
async def remove(request: Request, person: Operator, phone: Annotated[str, Form()] = "") -> Response:
    """Take a phone off the list."""
    try:
        removed = await run_in_threadpool(optouts.remove, database_of(request), [phone], actor=person.actor)
    except InvalidPhone:
        return await _list(request, problem="phone", status=422)
    return done("/operar/bajas", "optout_removed" if removed else "optout_unknown")


@router.post("/importar")
async def import_file(
    request: Request, person: Operator, file: Annotated[UploadFile | None, File()] = None
) -> Response:
    """Put the phones of a file on the list, and show what was wrong with the other lines."""
    content, name = await uploads.read(file, MOST_BYTES)
    summary, problems = Summary(), list[tuple[int, Refusal]]()

    def report(line: int, refusal: Refusal) -> None:
        if len(problems) < _MOST_SHOWN:
            problems.append((line, refusal))

    def work() -> None:
        optouts.import_file(
            database_of(request), io.BytesIO(content), name=name, report=report, summary=summary, actor=person.actor
        )

    try:
        await run_in_threadpool(work)
    except InvalidField as error:
        return await _list(request, refusal=error.refusal, status=422)
    return render(request, "operate/opt_outs_done.html.j2", name=name, summary=summary, problems=problems)


async def _list(
    request: Request,
    *,
    after: str = "",
    phone: str = "",
    problem: str | None = None,
    refusal: Refusal | None = None,
    status: int = 200,
) -> Response:
    found: list[OptOut] = []
    if phone:
        try:
            found = await run_in_threadpool(_of_phone, database_of(request), phone)
        except InvalidPhone:
            problem, status = "phone", 422
    else:
        # One more than is shown says whether there is a next part.
        found = await run_in_threadpool(optouts.page, database_of(request), after=after, limit=ROWS_OF_A_PAGE + 1)
    return render(
        request,
        "operate/opt_outs.html.j2",
        status=status,
        found=found[:ROWS_OF_A_PAGE],
        following=found[ROWS_OF_A_PAGE - 1].phone if len(found) > ROWS_OF_A_PAGE else None,
        after=after,
        phone=phone,
        problem=problem,
        refusal=refusal,
    )


def _of_phone(database: Database, phone: str) -> list[OptOut]:
    found = optouts.of_phone(database, normalize_phone(phone))
    return [] if found is None else [found]
