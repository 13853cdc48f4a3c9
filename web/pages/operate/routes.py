"""The routers of *Operar*."""

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response

from web.pages.operate import access, filtered, given_up, holding, importing, opt_outs, refused_calls
from web.pages.people import Operator

BACK: Final = {
    "/operar/conjunto/seguir": "/operar/conjunto",
    "/operar/importar/guardar": "/operar/importar",
    "/operar/importar/rechazadas": "/operar/importar",
    "/operar/bajas/importar": "/operar/bajas",
    "/operar/bajas/quitar": "/operar/bajas",
    "/operar/detener": "/operar",
    "/operar/reanudar": "/operar",
}
"""Where a person is led who opens the address of a form, for example after choosing another language there."""

_back: Final = APIRouter(include_in_schema=False)


def _leads(to: str) -> Callable[[Operator], Awaitable[Response]]:
    async def lead(_: Operator) -> Response:
        return RedirectResponse(to, 303)

    return lead


for _address, _to in BACK.items():
    _back.add_api_route(_address, _leads(_to), methods=["GET"])

routers: Final = (
    holding.router,
    filtered.router,
    importing.router,
    opt_outs.router,
    given_up.router,
    refused_calls.router,
    access.router,
    _back,
)
