"""The calls for probes: whether the process lives, and whether it can serve."""

from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.concurrency import run_in_threadpool

from web.bodies import Alive
from web.description import answers
from web.problems import Kind
from web.shared import database_of

router: Final = APIRouter(tags=["probes"])


@router.get("/healthz", response_model=Alive)
async def alive() -> JSONResponse:
    """Answer while the process lives. A restart does not help its database, so that is not asked here."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz", response_model=Alive, responses=answers(Kind.UNAVAILABLE))
async def ready(request: Request) -> JSONResponse:
    """Answer 200 if requests can be served now: the database answers and has the tables."""
    database = database_of(request)
    await run_in_threadpool(database.require_migrated)
    return JSONResponse({"status": "ok"})


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Answer with the metrics of all workers, as Prometheus reads them (docs/metrics.md)."""
    text = await run_in_threadpool(generate_latest, request.app.state.metrics)
    return Response(text, media_type=CONTENT_TYPE_LATEST)
