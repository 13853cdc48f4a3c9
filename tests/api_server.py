"""The HTTP API on a port of this machine, in a thread of the test: a real server with real requests."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import requests
import uvicorn

from tests.factories import settings
from tests.processes import wait_until
from web.app import GUESSES_AT_ONCE, create
from worker.operator.access import tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smsclick._database.engine import Database

ALL_SCOPES = ("send", "read", "operate")
_names = itertools.count(1)


@dataclass
class Api:
    """A running API and its database."""

    url: str
    database: Database
    secret: str
    http: requests.Session = field(default_factory=requests.Session)

    def token(self, *scopes: str) -> str:
        """A new token with these scopes."""
        return tokens.create(self.database, f"test {next(_names)}", scopes, actor="a test")

    def call(self, method: str, path: str, secret: str | None = None, **options: Any) -> requests.Response:  # noqa: ANN401 - of requests
        """A request with the token of all scopes, or with another one; an empty one sends none."""
        secret = self.secret if secret is None else secret
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        headers |= options.pop("headers", {})
        return self.http.request(method, self.url + path, headers=headers, timeout=60, **options)

    def post(self, body: object, **options: Any) -> requests.Response:  # noqa: ANN401 - of requests
        """POST /v1/messages."""
        return self.call("POST", "/v1/messages", json=body, **options)


@contextlib.contextmanager
def serving(database: Database, *, guesses_at_once: int = GUESSES_AT_ONCE, **variables: Any) -> Iterator[Api]:  # noqa: ANN401 - of any setting
    """Serve until the end of the block."""
    url = database.engine.url.render_as_string(hide_password=False)
    app = create(settings(url, **variables), guesses_at_once=guesses_at_once)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, proxy_headers=False))
    with socket.create_server(("127.0.0.1", 0)) as bound:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive(), what="the API")
            secret = tokens.create(database, f"test {next(_names)}", ALL_SCOPES, actor="a test")
            api = Api(f"http://127.0.0.1:{bound.getsockname()[1]}", database, secret)
            with api.http:
                yield api
        finally:
            server.should_exit = True
            thread.join()
