"""`smsclick web` in one process, which notes how long each answer took since its COMMIT was sent.

`python -m bench.api_server FILE`: serves until SIGTERM, then writes the seconds as a JSON list. It runs the same
application on the same server as the command; what is added is two readings of the clock for each request.
"""

from __future__ import annotations

import contextvars
import json
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

import web.app
from smsclick.settings import get_settings
from web import server
from web.group_store import GroupStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from smsclick._database.engine import Database
    from smsclick._enqueue.message import NewMessage
    from web.group_store import Outcome

_stored: contextvars.ContextVar[list[int]] = contextvars.ContextVar("stored")
_committed: dict[int, float] = {}
SECONDS: list[float] = []


class NotingStore(GroupStore):
    """Notes the time just before the COMMIT of each request's messages."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._storing = threading.local()
        event.listen(database.engine, "commit", self._commits)

    async def store(self, new: Sequence[NewMessage], headers: Mapping[str, str] | None = None) -> list[Outcome]:
        """Store, and let the request's own task know what was stored."""
        _stored.get().append(id(new))
        return await super().store(new, headers)

    def _answer(self, group: Any) -> None:  # noqa: ANN401 - of the group's own type
        self._storing.group = group
        try:
            super()._answer(group)
        finally:
            self._storing.group = ()

    def _commits(self, _: object) -> None:
        now = time.perf_counter()
        _committed.update((id(each.new), now) for each in getattr(self._storing, "group", ()))


class Noting:
    """The application, with a look at the clock when the last byte of an answer was passed on."""

    def __init__(self, app: Any) -> None:  # noqa: ANN401 - an ASGI application
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - of ASGI
        """Answer."""
        mine: list[int] = []
        _stored.set(mine)
        await self._app(scope, receive, send)
        now = time.perf_counter()
        SECONDS.extend(now - _committed.pop(each) for each in mine if each in _committed)


def main() -> None:
    """Serve until SIGTERM."""
    made = web.app.create
    setattr(web.app, "GroupStore", NotingStore)  # noqa: B010 - it is not exported
    setattr(web.app, "create", lambda: Noting(made()))  # noqa: B010 - of another type
    server.serve(get_settings(), processes=1)
    Path(sys.argv[1]).write_text(json.dumps(SECONDS), encoding="utf-8")


if __name__ == "__main__":
    main()
