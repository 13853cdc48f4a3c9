"""Style sheet, script and icon: served by their content's hash, so that a browser keeps each forever."""

import hashlib
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response

from web.pages.people import PageError

router: Final = APIRouter()

_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_FILES: Final = {
    path.name: path.read_bytes()
    for path in sorted(Path(__file__).with_name("static").iterdir())
    if path.suffix in _TYPES
}
_HASHES: Final = {name: hashlib.sha256(content).hexdigest()[:16] for name, content in _FILES.items()}


def address(name: str) -> str:
    """Return the address of a static file; raises `KeyError` where there is none."""
    return f"/static/{_HASHES[name]}/{name}"


@router.get("/static/{digest}/{name}", include_in_schema=False)
async def file(digest: str, name: str) -> Response:
    """Answer a file; one of another version is not found."""
    if _HASHES.get(name) != digest:
        raise PageError(404, "not_found")
    return Response(
        _FILES[name],
        headers={"Content-Type": _TYPES[Path(name).suffix], "Cache-Control": "public, max-age=31536000, immutable"},
    )
