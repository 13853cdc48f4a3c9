"""A server on a socket of this machine that answers the provider's client with any bytes, and the client for it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from smsclick.provider.client import SmsclickClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "k3y-of-the-account-XWU4GK"
PHONE = "5551402211"
TEXT = "Tu código es 4821: añádelo ya & no lo des + nadie 🙂"
SENT = b'{"codigo":1, "descripcion":"Mensaje enviado", "id_mensaje":123, "creditosUsados":1}'


@dataclass
class Request:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    fields: dict[str, str]


@dataclass
class Server:
    """A server whose every connection is handled by one function, in a thread of its own."""

    handle: Callable[[Server, socket.socket], None]
    connections: int = 0
    closed: int = 0
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                if self.stopping.is_set():
                    connection.close()
                    return
                self.connections += 1
                self._open.append(connection)
                thread = threading.Thread(target=self._serve, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self.handle(self, connection)
        self.closed += 1

    def read(self, connection: socket.socket) -> bool:
        """Take one request from the connection; False when the other side closed it."""
        received = b""
        while b"\r\n\r\n" not in received:
            part = connection.recv(65536)
            if not part:
                return False
            received += part
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(body) < int(headers["content-length"]):
            body += connection.recv(65536)
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
        self.requests.append(Request(first.split()[1], headers, {name: value for name, [value] in fields.items()}))
        return True

    def stop(self) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            pass
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(60)


def reply(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", "Content-Type: text/html", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def answering(*raw: bytes) -> Callable[[Server, socket.socket], None]:
    """Answer each request of a connection with the next of these bytes, then close."""

    def handle(server: Server, connection: socket.socket) -> None:
        for bytes_ in raw:
            if server.read(connection):
                connection.sendall(bytes_)

    return handle


def forever(raw: bytes) -> Callable[[Server, socket.socket], None]:
    def handle(server: Server, connection: socket.socket) -> None:
        while server.read(connection):
            connection.sendall(raw)

    return handle


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def hang(server: Server, connection: socket.socket) -> None:
    server.read(connection)
    server.stopping.wait()


def reset_after_reading(server: Server, connection: socket.socket) -> None:
    server.read(connection)
    reset(connection)


@contextlib.contextmanager
def serving(handle: Callable[[Server, socket.socket], None]) -> Iterator[Server]:
    server = Server(handle)
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def client_of(
    server: Server | int,
    *,
    scheme: str = "http",
    connect_timeout: float = 60.0,
    read_timeout: float = 60.0,
    max_idle: float = 60.0,
    ca_bundle: Path | None = None,
    transport: type[SmsclickClient] = SmsclickClient,
) -> Iterator[SmsclickClient]:
    port = server if isinstance(server, int) else server.port
    with transport(
        KEY,
        f"{scheme}://localhost:{port}/sms-services/",
        "America/Mexico_City",
        connect_timeout,
        read_timeout,
        max_idle=max_idle,
        ca_bundle=None if ca_bundle is None else str(ca_bundle),
    ) as client:
        yield client


def unused_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
