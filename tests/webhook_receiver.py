"""A producer's webhook on this machine: answers as a test wants and records the deliveries."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from types import TracebackType

SECRET = "whsec_" + base64.b64encode(b"smsclick-tests-smsclick-tests").decode()


@dataclasses.dataclass(frozen=True, slots=True)
class Delivery:
    """One POST as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def event(self) -> dict[str, Any]:
        """The body, read."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def type(self) -> str:
        return str(self.event["type"])

    @property
    def message_id(self) -> int:
        return int(self.event["data"]["id"])

    @property
    def event_id(self) -> str:
        return self.headers["webhook-id"]

    def is_signed(self, secret: str = SECRET) -> bool:
        """Whether the signature is right, as the Standard Webhooks describe it and without any library of theirs."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = b".".join([self.event_id.encode(), self.headers["webhook-timestamp"].encode(), self.body])
        right = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        young = abs(time.time() - int(self.headers["webhook-timestamp"])) < 300
        return young and f"v1,{right}" in self.headers["webhook-signature"].split(" ")


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # not five: a connection that finds no place waits for a second

    def handle_error(self, *_arguments: object) -> None:
        """Callers that leave are what some tests are about."""


class Hook:
    """A webhook. `answer` gets each delivery and returns a status, after any delay.

    Args:
        answer: by default 200 at once.
        headers: further ones of each answer.
    """

    def __init__(
        self, answer: Callable[[Delivery], int] = lambda _: 200, headers: dict[str, str] | None = None
    ) -> None:
        self.answer = answer
        self.deliveries: list[Delivery] = []
        self.connections = 0
        self.at_once = 0
        self._now = 0
        self._lock = threading.Lock()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                hook.connections += 1
                super().setup()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                given = {name.lower(): value for name, value in self.headers.items()}
                status = hook.take(Delivery(self.path, given, body, time.monotonic()))
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    for name, value in (headers or {}).items():
                        self.send_header(name, value)
                    self.end_headers()
                except OSError:
                    self.close_connection = True

            def log_message(self, *_arguments: object) -> None:
                """Quiet."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """For `callback`."""
        return f"http://127.0.0.1:{self.port}/sms?shop=7"

    @property
    def types(self) -> list[str]:
        """What arrived, in order."""
        return [delivery.type for delivery in self.deliveries]

    def secure(self, context: ssl.SSLContext) -> None:
        """From now on it speaks TLS."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)

    def take(self, delivery: Delivery) -> int:
        """Keeps one that arrived and answers it."""
        with self._lock:
            self.deliveries.append(delivery)
            self._now += 1
            self.at_once = max(self.at_once, self._now)
        try:
            return self.answer(delivery)
        finally:
            with self._lock:
                self._now -= 1
