"""Import a file of messages: a preview that stores nothing, then exactly that; the file travels in the form."""

import json
import secrets
from typing import Annotated, Any, Final

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from smsclick._importing.rows import Defaults
from smsclick._values.refusals import Refusal
from smsclick.errors import InvalidField
from web.pages.operate import sealed, uploads
from web.pages.people import Operator, Person
from web.pages.rendering import render
from web.shared import database_of
from worker.operator.imports import uploaded
from worker.operator.imports.uploaded import MOST_BYTES, MOST_LINES, Upload

router: Final = APIRouter(prefix="/operar/importar", include_in_schema=False)

_PURPOSE: Final = "import"


@router.get("")
async def show(request: Request, _: Operator) -> Response:
    """Show the form for a file."""
    return _form(request)


@router.post("")
async def preview(request: Request, person: Operator, file: Annotated[UploadFile | None, File()] = None) -> Response:
    """Show what the file would do; nothing is stored."""
    content, name = await uploads.read(file, MOST_BYTES)
    keys = f"page-{secrets.token_hex(8)}"
    upload = Upload(content, name, Defaults(zone=request.app.state.zone), keys)
    try:
        found = await run_in_threadpool(uploaded.preview, database_of(request), upload)
    except InvalidField as error:
        return _form(request, refusal=error.refusal, status=422)
    return render(
        request,
        "operate/import_preview.html.j2",
        name=name,
        found=found,
        rows=[(each.line, each.refusal) for each in found.problems],
        sealed=_pack(person, upload),
    )


@router.post("/guardar")
async def store(request: Request, person: Operator, sealed_file: Annotated[str, Form(alias="file")] = "") -> Response:
    """Store the good lines of the file that was previewed; a form that is sent again stores nothing twice."""
    upload = _unpack(person, sealed_file, request)
    found = await run_in_threadpool(uploaded.store, database_of(request), upload, actor=person.actor)
    return render(request, "operate/import_done.html.j2", name=upload.name, found=found, sealed=sealed_file)


@router.post("/rechazadas")
async def rejected(
    request: Request, person: Operator, sealed_file: Annotated[str, Form(alias="file")] = ""
) -> Response:
    """Answer the bad lines of the file that was previewed, as a file whose cells begin no formula."""
    upload = _unpack(person, sealed_file, request)
    content, suffix = await run_in_threadpool(uploaded.rejected, database_of(request), upload)
    kind = "text/csv" if suffix == "csv" else "application/x-ndjson"
    # With a byte order mark, so that spreadsheets read accents right.
    encoding = "utf-8-sig" if suffix == "csv" else "utf-8"
    return Response(
        content.encode(encoding, errors="backslashreplace"),
        headers={
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Disposition": f'attachment; filename="rechazadas.{suffix}"',
        },
    )


def _form(request: Request, *, refusal: Refusal | None = None, status: int = 200) -> Response:
    return render(
        request,
        "operate/import.html.j2",
        status=status,
        refusal=refusal,
        most_lines=MOST_LINES,
        most_megabytes=MOST_BYTES // 1_000_000,
    )


def _pack(person: Person, upload: Upload) -> str:
    head = json.dumps({"name": upload.name, "keys": upload.keys}).encode()
    return sealed.pack(person, _PURPOSE, head + b"\n" + upload.content)


def _unpack(person: Person, field: str, request: Request) -> Upload:
    head, _, content = sealed.unpack(person, _PURPOSE, field).partition(b"\n")
    given: dict[str, Any] = json.loads(head)
    return Upload(content, given["name"], Defaults(zone=request.app.state.zone), given["keys"])
