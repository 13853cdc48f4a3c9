"""The client against real servers on this machine's own sockets, good ones and broken ones."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import logging
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import pytest

from smsclick.errors import (
    InvalidField,
    InvalidText,
    InvalidTime,
    ProviderRefused,
    ProviderUnreachable,
    SettingsError,
    UnreadableAnswer,
)
from smsclick.provider._http.call_record import CallRecord
from smsclick.provider.client import SMALL_ANSWER_BYTES, SmsclickClient
from smsclick.provider.codes import Action, Estatus
from smsclick.provider.results import Accepted, Refused, Unknown
from tests.manual_clock import move_the_clients_time
from tests.processes import wait_until

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
) -> Iterator[SmsclickClient]:
    port = server if isinstance(server, int) else server.port
    with SmsclickClient(
        KEY,
        f"{scheme}://localhost:{port}/sms-services/",
        "America/Mexico_City",
        connect_timeout,
        read_timeout,
        max_idle=max_idle,
        ca_bundle=None if ca_bundle is None else str(ca_bundle),
    ) as client:
        yield client


@pytest.fixture
def dead_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


# What goes out.


def test_a_send_is_a_form_as_in_the_manual() -> None:
    with serving(forever(reply(SENT))) as server, client_of(server) as client:
        assert client.send(PHONE, TEXT, rule_id=7) == Accepted(123, 1, "Mensaje enviado")
    [request] = server.requests
    assert request.path == "/sms-services/sendMsg.json"
    assert request.fields == {"APIKEY": KEY, "TELEFONO": PHONE, "MENSAJE": TEXT, "ID_REGLA_INTERACTIVA": "7"}
    assert request.headers["content-type"] == "application/x-www-form-urlencoded; charset=UTF-8"


def test_an_optional_parameter_that_is_not_given_is_not_sent() -> None:
    with serving(forever(reply(SENT))) as server, client_of(server) as client:
        client.send(PHONE, TEXT)
    assert set(server.requests[0].fields) == {"APIKEY", "TELEFONO", "MENSAJE"}


def test_a_status_is_asked_for_by_id() -> None:
    body = b'{"codigo":1, "estatus_mensaje":3, "fecha_envio":"12-08-2026 17:34:56"}'
    with serving(forever(reply(body))) as server, client_of(server) as client:
        status = client.status(123)
    assert server.requests[0].path == "/sms-services/getMsg.json"
    assert server.requests[0].fields == {"APIKEY": KEY, "ID_MENSAJE": "123"}
    assert (status.estatus, status.fecha_envio) == (
        Estatus.RECIBIDO,
        datetime(2026, 8, 12, 23, 34, 56, tzinfo=UTC),
    )


def test_a_report_is_asked_for_in_the_providers_zone_with_every_filter() -> None:
    start = datetime(2026, 1, 20, 6, tzinfo=UTC)
    with (
        serving(forever(reply(b'{"codigo":1, "mensajes":null}'))) as server,
        client_of(server) as client,
    ):
        assert client.report(start, start + timedelta(days=1, seconds=-1), [4, 3, Estatus.RECIBIDO], 9) == []
    assert server.requests[0].path == "/sms-services/report.json"
    assert server.requests[0].fields == {
        "APIKEY": KEY,
        "FECHA_INICIO": "20-01-2026 00:00:00",
        "FECHA_FIN": "20-01-2026 23:59:59",
        "ESTATUS_MENSAJE": "3,4",
        "ID_CAMPANIA": "9",
    }


def test_the_balance_is_asked_for_with_the_key_alone() -> None:
    with serving(forever(reply(b'{"codigo":1, "creditos":1200232}'))) as server, client_of(server) as client:
        assert client.credits() == 1200232
    assert server.requests[0].path == "/sms-services/credits.json"
    assert server.requests[0].fields == {"APIKEY": KEY}


def test_a_report_without_a_zone_is_refused_before_anything_is_sent(dead_port: int) -> None:
    naive = datetime(2026, 1, 20)  # noqa: DTZ001  (that is the point)
    with client_of(dead_port) as client, pytest.raises(InvalidTime, match="zone"):
        client.report(naive, naive)


def test_a_report_that_ends_before_it_begins_is_refused(dead_port: int) -> None:
    start = datetime(2026, 1, 20, tzinfo=UTC)
    with client_of(dead_port) as client, pytest.raises(InvalidTime, match="ends before"):
        client.report(start, start - timedelta(seconds=1))


@pytest.mark.parametrize("statuses", [[5], [-1], []])
def test_a_report_of_statuses_that_do_not_exist_is_refused(dead_port: int, statuses: list[int]) -> None:
    start = datetime(2026, 1, 20, tzinfo=UTC)
    with client_of(dead_port) as client, pytest.raises(InvalidField):
        client.report(start, start, statuses)


def test_a_text_that_is_not_utf8_is_refused_without_a_word_of_it(dead_port: int) -> None:
    with client_of(dead_port) as client, pytest.raises(InvalidText) as caught:
        client.send(PHONE, "Su clave es 4821 \ud800")
    assert "clave" not in str(caught.value)
    assert caught.value.__context__ is None


def test_the_environments_proxies_are_not_used(monkeypatch: pytest.MonkeyPatch, dead_port: int) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{dead_port}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{dead_port}")
    with serving(forever(reply(SENT))) as server, client_of(server) as client:
        assert isinstance(client.send(PHONE, TEXT), Accepted)


def test_a_cookie_of_one_answer_is_not_sent_with_the_next_request() -> None:
    raw = reply(SENT, "200 OK", "Set-Cookie: JSESSIONID=1; Path=/")
    with serving(forever(raw)) as server, client_of(server) as client:
        client.send(PHONE, TEXT)
        client.send(PHONE, TEXT)
    assert "cookie" not in server.requests[1].headers


# Proof that the request never left.


def never_left(client: SmsclickClient, reason: str) -> None:
    """A send that fails so is retried, and a query says that it never left."""
    result = client.send(PHONE, TEXT)
    assert result == Refused(None, "", Action.RETRY, f"{reason}; the request never left")
    with pytest.raises(ProviderUnreachable) as caught:
        client.credits()
    assert caught.value.never_left


def test_a_refused_connection_never_left(dead_port: int) -> None:
    with client_of(dead_port) as client:
        never_left(client, "the connection was refused")


def test_a_name_that_cannot_be_resolved_never_left() -> None:
    # No label of a name is longer than 63 characters, so no resolver is asked.
    with SmsclickClient(KEY, f"http://{'a' * 70}.invalid") as client:
        never_left(client, "no connection could be made")


def test_a_connection_that_nobody_takes_never_left() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as stack:
        address = listener.getsockname()
        for _ in range(8):  # the system answers for a listener until its backlog is full
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(address)
        with client_of(address[1], connect_timeout=0.3) as client:
            never_left(client, "no connection in time")


def test_a_server_that_speaks_no_tls_never_got_the_request() -> None:
    def handle(server: Server, connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with serving(handle) as server, client_of(server, scheme="https") as client:
        never_left(client, "TLS failed")


def test_a_reset_during_the_handshake_never_left() -> None:
    def handle(server: Server, connection: socket.socket) -> None:
        connection.recv(65536)
        reset(connection)

    with serving(handle) as server, client_of(server, scheme="https") as client:
        never_left(client, "the connection broke")


def test_a_handshake_that_hangs_never_left() -> None:
    def handle(server: Server, connection: socket.socket) -> None:
        server.stopping.wait()

    with serving(handle) as server, client_of(server, scheme="https", connect_timeout=0.3) as client:
        never_left(client, "no answer in time")


def test_a_failure_counts_as_never_left_only_when_connecting_failed_and_nothing_was_sent() -> None:
    call = CallRecord()
    proofs = []
    for connect_failed, left in [(False, False), (True, True), (False, True), (True, False)]:
        call.begin(1, 1, 1, 1)
        call.connect_failed = connect_failed
        if left:
            call.leaves()
        proofs.append(call.never_left)
    assert proofs == [False, False, False, True]


# TLS with a certificate of our own.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate for localhost that signs itself."""
    if shutil.which("openssl") is None:
        pytest.skip("not run here: openssl is not on this machine, so there is no certificate to serve")
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subprocess.run(
        [
            *command.split(),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", "key.pem", "-out", "cert.pem"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    (folder / "both.pem").write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return folder / "both.pem"


def over_tls(
    certificate: Path, handle: Callable[[Server, ssl.SSLSocket], None]
) -> Callable[[Server, socket.socket], None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def handle_tls(server: Server, connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            handle(server, secured)

    return handle_tls


def test_a_trusted_certificate_is_accepted(certificate: Path) -> None:
    handle = over_tls(certificate, forever(reply(SENT)))
    with serving(handle) as server, client_of(server, scheme="https", ca_bundle=certificate) as client:
        assert [type(client.send(PHONE, TEXT)) for _ in range(3)] == [Accepted] * 3
    assert server.connections == 1


def test_a_certificate_that_nobody_trusts_never_got_the_request(certificate: Path) -> None:
    handle = over_tls(certificate, forever(reply(SENT)))
    with serving(handle) as server, client_of(server, scheme="https") as client:
        never_left(client, "the provider's certificate was not accepted: no authority signed it")
    assert server.requests == []


def test_tls_that_breaks_after_the_request_is_unknown(certificate: Path) -> None:
    def handle(server: Server, secured: ssl.SSLSocket) -> None:
        server.read(secured)
        raw = socket.socket(fileno=secured.detach())
        with raw:
            raw.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)  # a record that decrypts to nothing
            server.stopping.wait(1)

    with (
        serving(over_tls(certificate, handle)) as server,
        client_of(server, scheme="https", ca_bundle=certificate) as client,
    ):
        result = client.send(PHONE, TEXT)
    assert isinstance(result, Unknown)
    assert len(server.requests) == 1


# The request may have arrived.


def hang(server: Server, connection: socket.socket) -> None:
    server.read(connection)
    server.stopping.wait()


def reset_after_reading(server: Server, connection: socket.socket) -> None:
    server.read(connection)
    reset(connection)


UNKNOWN: dict[str, Callable[[Server, socket.socket], None]] = {
    "closed after the request": answering(b""),
    "reset after the request": reset_after_reading,
    "no answer": hang,
    "cut headers": answering(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "cut body": answering(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + SENT[:30]),
    "whole body, longer length": answering(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + SENT),
    "cut chunks": answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1F4\r\n" + SENT[:30]),
    "broken chunks": answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n" + SENT),
    "negative chunks": answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n" + SENT),
    "not HTTP": answering(b"\x16\x03\x01 nonsense\r\n\r\n"),
    "SMTP": answering(b"220 mail ESMTP\r\n"),
    "odd status": answering(b"HTTP/1.1 abc OK\r\n\r\n"),
    "odd length": answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n" + SENT),
    "not gzip": answering(reply(SENT, "200 OK", "Content-Encoding: gzip")),
    "endless 100": answering(b"HTTP/1.1 100 Continue\r\n\r\n" * 50_000),
    "many headers": answering(b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 500 + b"\r\n"),
    "500 in HTML": answering(reply(b"<html>Internal Server Error</html>", "500 Internal Server Error")),
    "502 with an error code": answering(reply(b'{"codigo":-104}', "502 Bad Gateway")),
    "429 with an error code": answering(reply(b'{"codigo":-104}', "429 Too Many Requests")),
    "HTML with 200": answering(reply(b"<html>login</html>")),
    "empty body": answering(reply(b"")),
    "no content": answering(b"HTTP/1.1 204 No Content\r\n\r\n"),
}


@pytest.mark.parametrize("handle", UNKNOWN.values(), ids=UNKNOWN)
def test_whatever_goes_wrong_after_connecting_is_unknown(
    handle: Callable[[Server, socket.socket], None],
) -> None:
    with serving(handle) as server, client_of(server, read_timeout=0.5) as client:
        assert isinstance(client.send(PHONE, TEXT), Unknown)
        with pytest.raises((ProviderUnreachable, UnreadableAnswer)) as caught:
            client.credits()
    assert not getattr(caught.value, "never_left", False)


def test_a_reset_before_the_request_never_counts_as_an_answer() -> None:
    # It may strike while connecting or after the first bytes, so that either may be the truth.
    with serving(lambda _, connection: reset(connection)) as server, client_of(server) as client:
        results = [client.send(PHONE, TEXT) for _ in range(20)]
    assert {type(result) for result in results} <= {Unknown, Refused}
    assert {result.code for result in results if not isinstance(result, Accepted)} == {None}


def test_a_send_that_ends_unknown_was_made_once() -> None:
    with serving(answering(b"")) as server, client_of(server) as client:
        client.send(PHONE, TEXT)
    assert len(server.requests) == 1


def test_a_connection_that_breaks_when_it_is_used_again_is_unknown_and_not_retried() -> None:
    def handle(server: Server, connection: socket.socket) -> None:
        server.read(connection)
        connection.sendall(reply(SENT))
        server.read(connection)
        reset(connection)

    with serving(handle) as server, client_of(server) as client:
        assert isinstance(client.send(PHONE, TEXT), Accepted)
        assert isinstance(client.send(PHONE, TEXT), Unknown)
    assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_not_followed_and_is_unknown(status: str) -> None:
    with serving(forever(reply(SENT))) as other:
        raw = reply(b'{"codigo":-104}', status, f"Location: http://127.0.0.1:{other.port}/")
        with serving(answering(raw)) as server, client_of(server) as client:
            assert isinstance(client.send(PHONE, TEXT), Unknown)
    assert other.requests == []


# Bounds of time and size.


def trickle(head: bytes, every: float) -> Callable[[Server, socket.socket], None]:
    def handle(server: Server, connection: socket.socket) -> None:
        server.read(connection)
        for byte in itertools.chain(head, itertools.repeat(ord("x"))):
            if server.stopping.wait(every):
                return
            connection.sendall(bytes([byte]))

    return handle


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\nX-Y: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"],
    ids=["headers", "body"],
)
def test_bytes_that_trickle_in_do_not_hold_a_call_longer_than_its_timeouts(head: bytes) -> None:
    with serving(trickle(head, 0.01)) as server, client_of(server, read_timeout=0.8) as client:
        started = time.monotonic()
        result = client.send(PHONE, TEXT)
        elapsed = time.monotonic() - started
    assert result == Unknown("no answer in time; the request may have arrived")
    assert 0.7 < elapsed < 60  # it would trickle in for ten minutes and more


def test_silence_after_a_trickle_does_not_restart_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = move_the_clients_time(monkeypatch)

    def handle(server: Server, connection: socket.socket) -> None:
        server.read(connection)
        connection.sendall(b"HTTP/1.1 20")
        moved.ahead = 119
        connection.sendall(b"0")
        server.stopping.wait()

    with serving(handle) as server, client_of(server, read_timeout=120) as client:
        started = time.monotonic()
        assert isinstance(client.send(PHONE, TEXT), Unknown)
        assert time.monotonic() - started < 60


@pytest.mark.parametrize("chunked", [False, True])
def test_an_answer_that_is_too_large_is_not_read_to_its_end(chunked: bool) -> None:  # noqa: FBT001
    sent = 0

    def handle(server: Server, connection: socket.socket) -> None:
        nonlocal sent
        server.read(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"\r\n"))
        part = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        while not server.stopping.is_set():
            connection.sendall(part)
            sent += len(part)

    with serving(handle) as server, client_of(server) as client:
        result = client.send(PHONE, TEXT)
        with pytest.raises(UnreadableAnswer, match="too large"):
            client.credits()
    assert isinstance(result, Unknown)
    assert "too large" in result.reason
    assert sent < 2 * (SMALL_ANSWER_BYTES + 16 * 1024 * 1024)  # what fits into the sockets' buffers comes on top


def test_a_compressed_bomb_is_too_large() -> None:
    bomb = gzip.compress(b" " * (SMALL_ANSWER_BYTES * 20))
    with (
        serving(answering(reply(bomb, "200 OK", "Content-Encoding: gzip"))) as server,
        client_of(server) as client,
    ):
        result = client.send(PHONE, TEXT)
    assert isinstance(result, Unknown)
    assert "too large" in result.reason


def test_an_answer_compressed_although_not_asked_for_is_read() -> None:
    raw = reply(gzip.compress(SENT), "200 OK", "Content-Encoding: gzip")
    with serving(answering(raw)) as server, client_of(server) as client:
        assert client.send(PHONE, TEXT) == Accepted(123, 1, "Mensaje enviado")
    assert server.requests[0].headers["accept-encoding"] == "identity"


def test_a_large_report_is_read() -> None:
    row = {"id_mensaje": 5, "telefono": 5548007276, "mensaje": "ñ" * 150, "estatus_mensaje": 3}
    body = json.dumps({"codigo": 1, "mensajes": [row] * 4000}).encode()
    assert len(body) > SMALL_ANSWER_BYTES
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with serving(forever(reply(body))) as server, client_of(server, read_timeout=60) as client:
        assert len(client.report(now, now)) == 4000


# Connections.


def test_a_connection_is_kept_for_the_next_call() -> None:
    with serving(forever(reply(SENT))) as server, client_of(server) as client:
        for _ in range(5):
            client.send(PHONE, TEXT)
    assert server.connections == 1


@pytest.mark.parametrize("raw", [SENT, b""], ids=["body", "empty"])
def test_a_connection_is_kept_after_an_error_too(raw: bytes) -> None:
    with serving(forever(reply(raw, "500 Oops"))) as server, client_of(server) as client:
        client.send(PHONE, TEXT)
        client.send(PHONE, TEXT)
    assert server.connections == 1


def test_a_connection_that_the_server_closed_meanwhile_is_not_used() -> None:
    with serving(answering(reply(SENT))) as server, client_of(server) as client:
        assert isinstance(client.send(PHONE, TEXT), Accepted)
        wait_until(lambda: server.closed == 1, what="the server to close it")
        assert isinstance(client.send(PHONE, TEXT), Accepted)
    assert server.connections == 2


def test_a_connection_is_not_used_for_longer_than_the_server_announces() -> None:
    raw = reply(SENT, "200 OK", "Keep-Alive: timeout=1, max=100")
    with serving(forever(raw)) as server, client_of(server) as client:
        client.send(PHONE, TEXT)
        client.send(PHONE, TEXT)
    assert server.connections == 2


def test_a_connection_that_was_idle_for_too_long_is_not_used() -> None:
    with serving(forever(reply(SENT))) as server, client_of(server, max_idle=0.05) as client:
        client.send(PHONE, TEXT)
        time.sleep(0.1)
        client.send(PHONE, TEXT)
    assert server.connections == 2


def test_many_threads_share_a_client() -> None:
    def handle(server: Server, connection: socket.socket) -> None:
        while server.read(connection):
            phone = server.requests[-1].fields["TELEFONO"]  # any other thread's would be as good
            assert phone
            connection.sendall(reply(SENT))

    with serving(handle) as server, client_of(server) as client, ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda number: client.send(f"55514{number:05d}", TEXT), range(400)))
    assert {type(result) for result in results} == {Accepted}
    assert {request.fields["TELEFONO"] for request in server.requests} == {f"55514{n:05d}" for n in range(400)}
    assert server.connections <= 16


# What a query raises.


def test_a_query_that_is_refused_carries_the_code() -> None:
    body = b'{"codigo":-101, "descripcion":"Apikey incorrecta"}'
    with serving(forever(reply(body))) as server, client_of(server) as client:
        with pytest.raises(ProviderRefused) as caught:
            client.credits()
        assert caught.value.code == -101


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [("30", 30, 30), ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0), ("999999999", 86400, 86400)],
)
def test_the_wait_that_an_answer_asks_for_is_handed_on(header: str, low: float, high: float) -> None:
    raw = reply(b"slow down", "429 Too Many Requests", f"Retry-After: {header}")
    with serving(forever(raw)) as server, client_of(server) as client:
        with pytest.raises(UnreadableAnswer) as caught:
            client.credits()
        assert caught.value.retry_after is not None
        assert low <= caught.value.retry_after <= high


@pytest.mark.parametrize("header", ["soon", "", "-5", "Wed, 99 Oct 2015 07:28:00 GMT"])
def test_a_wait_that_nobody_can_read_is_none(header: str) -> None:
    raw = reply(b"slow down", "503 Service Unavailable", f"Retry-After: {header}")
    with serving(forever(raw)) as server, client_of(server) as client:
        with pytest.raises(UnreadableAnswer) as caught:
            client.credits()
        assert caught.value.retry_after is None


# What must not be seen.


def test_neither_key_nor_phone_nor_text_is_in_a_result_that_echoes_them() -> None:
    echo = f"APIKEY {KEY} no puede enviar '{TEXT}' a {PHONE}"
    body = json.dumps({"codigo": -999, "descripcion": echo}).encode()
    with serving(forever(reply(body))) as server, client_of(server) as client:
        result = client.send(PHONE, TEXT)
        with pytest.raises(ProviderRefused) as caught:
            client.credits()
    assert isinstance(result, Refused)
    assert result.description == "APIKEY … no puede enviar '…' a …"
    assert KEY not in str(caught.value)


def test_the_key_is_not_in_the_repr() -> None:
    with SmsclickClient(KEY) as client:
        assert repr(client) == "SmsclickClient(base_url='https://app.smsclick.com.mx/sms-services')"


@pytest.mark.parametrize("handle", [answering(b""), hang, forever(reply(b"<html>"))])
def test_no_error_is_chained_to_one_that_holds_the_request(
    handle: Callable[[Server, socket.socket], None],
) -> None:
    with serving(handle) as server, client_of(server, read_timeout=0.3) as client:
        with pytest.raises((ProviderUnreachable, UnreadableAnswer)) as caught:
            client.credits()
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_neither_key_nor_phone_nor_text_is_logged_at_debug_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for handle in (forever(reply(SENT)), answering(b""), reset_after_reading):
        with serving(handle) as server, client_of(server) as client:
            client.send(PHONE, TEXT)
            client.send(PHONE, TEXT)
    assert caplog.text
    assert not any(word in caplog.text for word in (KEY, PHONE, TEXT, "4821"))


# What the client is made of.


@pytest.mark.parametrize("key", ["", "   ", "a\nb", "a\x00b"])
def test_a_key_that_cannot_be_one_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        SmsclickClient(key)
    assert "a\nb" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "app.smsclick.com.mx", "ftp://x/y", "https://", "https://x/?a=b", "http://[::1", "http://x:abc/"]
)
def test_a_base_url_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="base URL"):
        SmsclickClient(KEY, url)


@pytest.mark.parametrize("timezone", ["Mars/Olympus", "", "../etc"])
def test_a_zone_that_does_not_exist_is_refused(timezone: str) -> None:
    with pytest.raises(SettingsError, match="time zone"):
        SmsclickClient(KEY, timezone=timezone)


def test_a_zone_may_be_given_as_an_object() -> None:
    with SmsclickClient(KEY, timezone=ZoneInfo("America/Tijuana")) as client:
        assert "smsclick.com.mx" in repr(client)


@pytest.mark.parametrize("timeouts", [(0, 30), (5, 0), (-1, 30)])
def test_a_timeout_of_nothing_is_refused(timeouts: tuple[float, float]) -> None:
    with pytest.raises(SettingsError, match="timeouts"):
        SmsclickClient(KEY, connect_timeout=timeouts[0], read_timeout=timeouts[1])
