"""All routes of the page."""

from typing import Final

from fastapi import APIRouter

from web.pages import now, sign_in, static_files
from web.pages.messages import listing, one
from web.pages.operate import routes as operate

_ROUTERS: Final = (static_files.router, sign_in.router, now.router, listing.router, one.router, *operate.routers)


def build() -> list[APIRouter]:
    """Return the routers of the page; none of their routes is part of the API's description."""
    return list(_ROUTERS)
