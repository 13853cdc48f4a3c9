"""`not_after`: a process may be paused at any point and wake much later; nothing may leave when its claim is over."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

import pytest

from smsclick.provider.clock import clock
from smsclick.provider.codes import Action
from smsclick.provider.results import Accepted, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from smsclick.provider.client import SmsclickClient
    from tests.senders import Transport

PHONE = "5551402211"
TEXT = "hola"
BODY = b'{"codigo":1, "descripcion":"Mensaje enviado", "id_mensaje":123, "creditosUsados":1}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Server:
    """Takes connections, answers whole requests, and keeps every byte."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.requests = 0
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            request = b""
            while part := connection.recv(65536):
                self.received += part
                request += part
                head, _, body = request.partition(b"\r\n\r\n")
                length = next((line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), b"")
                if body and len(body) >= int(length.partition(b":")[2]):
                    self.requests += 1
                    request = b""
                    connection.sendall(ANSWER)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def client(server: Server, transport: Transport) -> Iterator[SmsclickClient]:
    # Made after the server and closed before it, so that no connection keeps its threads alive.
    with transport("a-key", server.url, connect_timeout=60, read_timeout=60) as made:
        yield made


class CountedTime(float):
    """A time in the future that counts how often it is compared."""

    __slots__ = ("asked",)

    def __init__(self, _value: float) -> None:
        self.asked = 0

    def __lt__(self, other: float) -> bool:
        self.asked += 1
        return False


def test_a_request_leaves_before_its_claim_is_over(client: SmsclickClient, server: Server) -> None:
    assert client.send(PHONE, TEXT, not_after=clock() + 60) == Accepted(123, 1, "Mensaje enviado")
    assert server.requests == 1


def test_not_one_byte_leaves_when_the_claim_is_over(client: SmsclickClient, server: Server) -> None:
    client.send(PHONE, TEXT, not_after=clock() - 0.001)
    client.close()
    assert bytes(server.received) == b""


def test_a_request_that_was_held_back_is_surely_not_accepted_and_may_go_again(client: SmsclickClient) -> None:
    answer = client.send(PHONE, TEXT, not_after=clock() - 0.001)
    assert isinstance(answer, Refused)
    assert (answer.code, answer.action) == (None, Action.RETRY)
    assert answer.reason == "the claim was over before the request could leave; the request never left"
    assert answer.withheld


def test_head_and_body_leave_together_so_that_no_half_of_a_request_can_be_too_late(client: SmsclickClient) -> None:
    not_after = CountedTime(clock() + 60)
    assert isinstance(client.send(PHONE, TEXT, not_after=not_after), Accepted)
    assert not_after.asked == 1


def test_a_kept_connection_carries_nothing_of_a_request_that_is_too_late(
    client: SmsclickClient, server: Server
) -> None:
    client.send(PHONE, TEXT)
    before = len(server.received)
    assert isinstance(client.send(PHONE, TEXT, not_after=clock() - 0.001), Refused)
    client.close()
    assert (len(server.received), server.requests) == (before, 1)


def test_the_calls_after_one_that_was_held_back_go_as_ever(client: SmsclickClient, server: Server) -> None:
    client.send(PHONE, TEXT)
    client.send(PHONE, TEXT, not_after=clock() - 0.001)
    for _ in range(3):
        assert isinstance(client.send(PHONE, TEXT, not_after=clock() + 60), Accepted)
    assert server.requests == 4
    assert server.connections <= 2


def test_without_a_limit_nothing_is_held_back(client: SmsclickClient, server: Server) -> None:
    client.send(PHONE, TEXT, not_after=clock() - 0.001)
    assert isinstance(client.send(PHONE, TEXT), Accepted)
    assert server.requests == 1


def test_a_provider_that_is_not_there_is_reported_as_refused_connection_and_not_as_withheld(
    transport: Transport,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with transport("a-key", url) as nobody:
        answer = nobody.send(PHONE, TEXT, not_after=clock() - 1)
    assert isinstance(answer, Refused)
    assert answer.reason == "the connection was refused; the request never left"
    assert not answer.withheld
