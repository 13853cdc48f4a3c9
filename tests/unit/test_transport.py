"""One request against servers that break in every way: what is proven, and within which limits of time and size."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import shutil
import socket
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from smsclick.errors import (
    ProviderUnreachable,
    UnreadableAnswer,
)
from smsclick.provider._http.call_record import CallRecord
from smsclick.provider.client import SMALL_ANSWER_BYTES, SmsclickClient
from smsclick.provider.codes import Action
from smsclick.provider.results import Accepted, Refused, Unknown
from tests.manual_clock import move_the_clients_time
from tests.processes import wait_until
from tests.senders import AsyncioClient
from tests.socket_server import (
    KEY,
    PHONE,
    SENT,
    TEXT,
    Server,
    answering,
    client_of,
    forever,
    hang,
    reply,
    reset,
    reset_after_reading,
    serving,
)
from tests.unit.test_answer_reader import ENDED, KEPT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.senders import Transport


# Proof that the request never left.


def never_left(client: SmsclickClient, reason: str) -> None:
    """A send that fails so is retried, and a query says that it never left."""
    result = client.send(PHONE, TEXT)
    assert result == Refused(None, "", Action.RETRY, f"{reason}; the request never left")
    with pytest.raises(ProviderUnreachable) as caught:
        client.credits()
    assert caught.value.never_left


def test_a_refused_connection_never_left(dead_port: int, transport: Transport) -> None:
    with client_of(dead_port, transport=transport) as client:
        never_left(client, "the connection was refused")


def test_a_name_that_cannot_be_resolved_never_left(transport: Transport) -> None:
    # No label of a name is longer than 63 characters, so no resolver is asked.
    with transport(KEY, f"http://{'a' * 70}.invalid") as client:
        never_left(client, "no connection could be made")


def test_a_connection_that_nobody_takes_never_left(transport: Transport) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as stack:
        address = listener.getsockname()
        for _ in range(8):  # the system answers for a listener until its backlog is full
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(address)
        with client_of(address[1], connect_timeout=0.3, transport=transport) as client:
            never_left(client, "no connection in time")


def test_a_server_that_speaks_no_tls_never_got_the_request(transport: Transport) -> None:
    def handle(server: Server, connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with serving(handle) as server, client_of(server, scheme="https", transport=transport) as client:
        never_left(client, "TLS failed")


def test_a_reset_during_the_handshake_never_left(transport: Transport) -> None:
    def handle(server: Server, connection: socket.socket) -> None:
        connection.recv(65536)
        reset(connection)

    with serving(handle) as server, client_of(server, scheme="https", transport=transport) as client:
        never_left(client, "the connection broke")


def test_a_handshake_that_hangs_never_left(transport: Transport) -> None:
    def handle(server: Server, connection: socket.socket) -> None:
        server.stopping.wait()

    with (
        serving(handle) as server,
        client_of(server, scheme="https", connect_timeout=0.3, transport=transport) as client,
    ):
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


def test_a_trusted_certificate_is_accepted(certificate: Path, transport: Transport) -> None:
    handle = over_tls(certificate, forever(reply(SENT)))
    with (
        serving(handle) as server,
        client_of(server, scheme="https", ca_bundle=certificate, transport=transport) as client,
    ):
        assert [type(client.send(PHONE, TEXT)) for _ in range(3)] == [Accepted] * 3
    assert server.connections == 1


def test_a_certificate_that_nobody_trusts_never_got_the_request(certificate: Path, transport: Transport) -> None:
    handle = over_tls(certificate, forever(reply(SENT)))
    with serving(handle) as server, client_of(server, scheme="https", transport=transport) as client:
        never_left(client, "the provider's certificate was not accepted: no authority signed it")
    assert server.requests == []


def test_tls_that_breaks_after_the_request_is_unknown(certificate: Path, transport: Transport) -> None:
    def handle(server: Server, secured: ssl.SSLSocket) -> None:
        server.read(secured)
        raw = socket.socket(fileno=secured.detach())
        with raw:
            raw.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)  # a record that decrypts to nothing
            server.stopping.wait(1)

    with (
        serving(over_tls(certificate, handle)) as server,
        client_of(server, scheme="https", ca_bundle=certificate, transport=transport) as client,
    ):
        result = client.send(PHONE, TEXT)
    assert isinstance(result, Unknown)
    assert len(server.requests) == 1


# The request may have arrived.


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
    handle: Callable[[Server, socket.socket], None], transport: Transport
) -> None:
    with serving(handle) as server, client_of(server, read_timeout=0.5, transport=transport) as client:
        assert isinstance(client.send(PHONE, TEXT), Unknown)
        with pytest.raises((ProviderUnreachable, UnreadableAnswer)) as caught:
            client.credits()
    assert not getattr(caught.value, "never_left", False)


def test_a_reset_before_the_request_never_counts_as_an_answer(transport: Transport) -> None:
    # It may strike while connecting or after the first bytes, so that either may be the truth.
    with serving(lambda _, connection: reset(connection)) as server, client_of(server, transport=transport) as client:
        results = [client.send(PHONE, TEXT) for _ in range(20)]
    assert {type(result) for result in results} <= {Unknown, Refused}
    assert {result.code for result in results if not isinstance(result, Accepted)} == {None}


def test_a_send_that_ends_unknown_was_made_once(transport: Transport) -> None:
    with serving(answering(b"")) as server, client_of(server, transport=transport) as client:
        client.send(PHONE, TEXT)
    assert len(server.requests) == 1


def test_a_connection_that_breaks_when_it_is_used_again_is_unknown_and_not_retried(
    transport: Transport,
) -> None:
    def handle(server: Server, connection: socket.socket) -> None:
        server.read(connection)
        connection.sendall(reply(SENT))
        server.read(connection)
        reset(connection)

    with serving(handle) as server, client_of(server, transport=transport) as client:
        assert isinstance(client.send(PHONE, TEXT), Accepted)
        assert isinstance(client.send(PHONE, TEXT), Unknown)
    assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_not_followed_and_is_unknown(status: str, transport: Transport) -> None:
    with serving(forever(reply(SENT))) as other:
        raw = reply(b'{"codigo":-104}', status, f"Location: http://127.0.0.1:{other.port}/")
        with serving(answering(raw)) as server, client_of(server, transport=transport) as client:
            assert isinstance(client.send(PHONE, TEXT), Unknown)
    assert other.requests == []


@pytest.mark.parametrize("raw", [*KEPT.values(), *ENDED.values()], ids=[*KEPT, *ENDED])
def test_an_answer_is_read_in_whatever_form_it_comes(raw: bytes, transport: Transport) -> None:
    with serving(answering(raw)) as server, client_of(server, transport=transport) as client:
        result = client.send(PHONE, TEXT)
    # Early Hints are unknown to http.client.
    assert result == Accepted(123, 1, "Mensaje enviado") or (b" 103 " in raw and isinstance(result, Unknown))


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
def test_bytes_that_trickle_in_do_not_hold_a_call_longer_than_its_timeouts(head: bytes, transport: Transport) -> None:
    with serving(trickle(head, 0.01)) as server, client_of(server, read_timeout=0.8, transport=transport) as client:
        started = time.monotonic()
        result = client.send(PHONE, TEXT)
        elapsed = time.monotonic() - started
    assert result == Unknown("no answer in time; the request may have arrived")
    assert 0.7 < elapsed < 60  # it would trickle in for ten minutes and more


@pytest.mark.parametrize("transport", [SmsclickClient, AsyncioClient])  # uvloop's own clock cannot be moved
def test_silence_after_a_trickle_does_not_restart_the_timeout(
    monkeypatch: pytest.MonkeyPatch, transport: Transport
) -> None:
    moved = move_the_clients_time(monkeypatch)

    def handle(server: Server, connection: socket.socket) -> None:
        server.read(connection)
        connection.sendall(b"HTTP/1.1 20")
        moved.ahead = 119
        connection.sendall(b"0")
        server.stopping.wait()

    with serving(handle) as server, client_of(server, read_timeout=120, transport=transport) as client:
        if isinstance(client, AsyncioClient):
            monkeypatch.setattr(client.loop, "time", moved.monotonic)
        started = time.monotonic()
        assert isinstance(client.send(PHONE, TEXT), Unknown)
        assert time.monotonic() - started < 60


@pytest.mark.parametrize("chunked", [False, True])
def test_an_answer_that_is_too_large_is_not_read_to_its_end(
    chunked: bool,  # noqa: FBT001
    transport: Transport,
) -> None:
    sent = 0

    def handle(server: Server, connection: socket.socket) -> None:
        nonlocal sent
        server.read(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"\r\n"))
        part = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        while not server.stopping.is_set():
            connection.sendall(part)
            sent += len(part)

    with serving(handle) as server, client_of(server, transport=transport) as client:
        result = client.send(PHONE, TEXT)
        with pytest.raises(UnreadableAnswer, match="too large"):
            client.credits()
    assert isinstance(result, Unknown)
    assert "too large" in result.reason
    assert sent < 2 * (SMALL_ANSWER_BYTES + 16 * 1024 * 1024)  # what fits into the sockets' buffers comes on top


def test_an_answer_that_never_gets_to_its_status_is_too_large(transport: Transport) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" * 50_000
    with serving(answering(interim)) as server, client_of(server, transport=transport) as client:
        assert client.send(PHONE, TEXT) == Unknown("the answer is too large; the request may have arrived")
        with pytest.raises(UnreadableAnswer, match="too large"):
            client.credits()


def test_a_compressed_bomb_is_too_large(transport: Transport) -> None:
    bomb = gzip.compress(b" " * (SMALL_ANSWER_BYTES * 20))
    with (
        serving(answering(reply(bomb, "200 OK", "Content-Encoding: gzip"))) as server,
        client_of(server, transport=transport) as client,
    ):
        result = client.send(PHONE, TEXT)
    assert isinstance(result, Unknown)
    assert "too large" in result.reason


def test_an_answer_compressed_although_not_asked_for_is_read(transport: Transport) -> None:
    raw = reply(gzip.compress(SENT), "200 OK", "Content-Encoding: gzip")
    with serving(answering(raw)) as server, client_of(server, transport=transport) as client:
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


def test_a_connection_is_kept_for_the_next_call(transport: Transport) -> None:
    with serving(forever(reply(SENT))) as server, client_of(server, transport=transport) as client:
        for _ in range(5):
            client.send(PHONE, TEXT)
    assert server.connections == 1


@pytest.mark.parametrize("raw", [SENT, b""], ids=["body", "empty"])
def test_a_connection_is_kept_after_an_error_too(raw: bytes, transport: Transport) -> None:
    with serving(forever(reply(raw, "500 Oops"))) as server, client_of(server, transport=transport) as client:
        client.send(PHONE, TEXT)
        client.send(PHONE, TEXT)
    assert server.connections == 1


def test_a_connection_that_the_server_closed_meanwhile_is_not_used(transport: Transport) -> None:
    with serving(answering(reply(SENT))) as server, client_of(server, transport=transport) as client:
        assert isinstance(client.send(PHONE, TEXT), Accepted)
        wait_until(lambda: server.closed == 1, what="the server to close it")
        assert isinstance(client.send(PHONE, TEXT), Accepted)
    assert server.connections == 2


def test_a_connection_is_not_used_for_longer_than_the_server_announces(transport: Transport) -> None:
    raw = reply(SENT, "200 OK", "Keep-Alive: timeout=1, max=100")
    with serving(forever(raw)) as server, client_of(server, transport=transport) as client:
        client.send(PHONE, TEXT)
        client.send(PHONE, TEXT)
    assert server.connections == 2


def test_a_connection_that_was_idle_for_too_long_is_not_used(transport: Transport) -> None:
    with serving(forever(reply(SENT))) as server, client_of(server, max_idle=0.05, transport=transport) as client:
        client.send(PHONE, TEXT)
        time.sleep(0.1)
        client.send(PHONE, TEXT)
    assert server.connections == 2


def test_many_threads_share_a_client(transport: Transport) -> None:
    def handle(server: Server, connection: socket.socket) -> None:
        while server.read(connection):
            phone = server.requests[-1].fields["TELEFONO"]  # any other thread's would be as good
            assert phone
            connection.sendall(reply(SENT))

    with serving(handle) as server, client_of(server, transport=transport) as client, ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda number: client.send(f"55514{number:05d}", TEXT), range(400)))
    assert {type(result) for result in results} == {Accepted}
    assert {request.fields["TELEFONO"] for request in server.requests} == {f"55514{n:05d}" for n in range(400)}
    assert server.connections <= 16
