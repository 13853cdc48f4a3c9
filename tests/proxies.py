"""A company's proxy, and TLS in front of a server that has none: both relay bytes to a port of this machine."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from types import TracebackType


class _Relay:
    """Takes connections on a free port of the loopback; each has its thread."""

    def __init__(self, target: int, context: ssl.SSLContext | None) -> None:
        self._target = target
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._take, daemon=True)]
        self.port: int = self._listener.getsockname()[1]
        self.stopping = threading.Event()

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(10)

    def _take(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            self._handle(connection)
        connection.close()

    def _handle(self, connection: socket.socket) -> None:
        self._relay(connection)

    def _relay(self, connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._target)) as beyond:
            self._open.append(beyond)
            back = threading.Thread(target=_pump, args=(beyond, connection), daemon=True)
            back.start()
            _pump(connection, beyond)
            back.join(10)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


class TlsFront(_Relay):
    """Takes TLS off and passes on to a port."""

    def __init__(self, target: int, context: ssl.SSLContext) -> None:
        super().__init__(target, context)


class ConnectProxy(_Relay):
    """A proxy for CONNECT; whatever name is asked for, it leads to one port, so no name is ever resolved.

    Args:
        target: where each tunnel ends.
        login: `user:password` that it asks for; none by default.
        answer: what it answers to CONNECT instead of making a tunnel: raw bytes; empty: silence.
        context: it speaks TLS itself.
    """

    def __init__(
        self,
        target: int = 0,
        *,
        login: str | None = None,
        answer: bytes | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(target, context)
        self._login = login
        self._answer = answer
        self.asked: list[str] = []
        """The first line of each request."""

    def _handle(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (data := connection.recv(65536)):
                return
            head += data
        lines = head.decode("latin-1").split("\r\n")
        self.asked.append(lines[0])
        if self._answer == b"":
            self.stopping.wait(60)
        elif self._answer is not None:
            connection.sendall(self._answer)
        elif self._login and f"Basic {base64.b64encode(self._login.encode()).decode()}" not in "".join(lines):
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        else:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self._relay(connection)
