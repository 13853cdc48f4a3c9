"""Calls of addresses that others chose: only allowed ones, limited in time and bytes, with failures that name none."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from smsclick._values.callback import WebhookTarget, parse_callback
from tests.webhook_receiver import Hook
from worker.callbacks.webhook import WebhookClient, WebhookFailedError
from worker.callbacks.webhook_addresses import AddressRules, RefusedAddressError, is_public

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

INSIDE = AddressRules(allow_private=True)
REFUSED = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",  # noqa: S104 - an address to refuse
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "239.1.2.3",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "not an address",
    "",
]
PUBLIC = ["8.8.8.8", "200.57.1.1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700::1111"]


def target(url: str) -> WebhookTarget:
    found = parse_callback(url)
    assert isinstance(found, WebhookTarget)
    return found


def answering(*addresses: str) -> Callable[..., Sequence[tuple[Any, ...]]]:
    """A name service that answers each question with the next of these addresses."""
    left = list(addresses)

    def resolve(_host: str, port: int, **_options: object) -> list[tuple[Any, ...]]:
        address = left.pop(0)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 0, "", (address, port))]

    return resolve


@contextlib.contextmanager
def talking(say: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that reads a request with the body `{}` and then calls `say`; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError), listener.accept()[0] as connection:
                request = b""
                # Drain the request: closing with unread bytes causes a reset, which may overtake the answer.
                while not request.endswith(b"\r\n\r\n{}") and (part := connection.recv(65536)):
                    request += part
                say(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        listener.close()
        thread.join(60)


def post(outbound: WebhookClient, url: str) -> int:
    with contextlib.closing(outbound):
        return outbound.post(target(url), b"{}", {})


@pytest.mark.parametrize("address", REFUSED)
def test_an_address_that_is_not_of_the_open_internet_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_open_internet_is_public(address: str) -> None:
    assert is_public(address)


def test_what_is_checked_is_what_is_connected_to_and_a_second_answer_of_the_name_service_is_checked_too() -> None:
    with Hook() as hook:
        asked = answering("169.254.169.254", "127.0.0.1", "10.0.0.1")
        outbound = WebhookClient(AddressRules(), resolve=asked)
        for _ in range(3):
            with pytest.raises(RefusedAddressError, match="private or reserved"):
                outbound.post(target(f"https://hooks.example.com:{hook.port}/"), b"{}", {})
        outbound.close()
        assert hook.connections == 0
        # If it is allowed, the name is resolved once, and the socket goes to that answer and no other.
        once = WebhookClient(INSIDE, resolve=answering("127.0.0.1"))
        assert post(once, f"http://hooks.example.com:{hook.port}/") == 200
        assert hook.deliveries[0].headers["host"] == f"hooks.example.com:{hook.port}"


class OneAddress(AddressRules):
    """Allows this machine in one of the ways in which it can be written."""

    def allows(self, address: str) -> bool:
        return address == "127.0.0.1"


@pytest.mark.parametrize("first", [True, False])
def test_of_several_addresses_those_that_are_not_allowed_are_passed_over(*, first: bool) -> None:
    """A name that has a public address and one inside must lead nobody inside."""
    with Hook() as inside:
        with Hook() as hook:
            found = [
                (socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("::ffff:127.0.0.1", inside.port, 0, 0)),
                (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", hook.port)),
            ]
            found = found if first else found[::-1]

            def resolve(*_asked: object, **_options: object) -> list[tuple[Any, ...]]:
                return found

            rules = OneAddress(allow_private=True)
            assert post(WebhookClient(rules, resolve=resolve), "http://hooks.example.com/") == 200
            assert hook.connections == 1
        with pytest.raises(WebhookFailedError):  # it is gone, and the other one is no way round
            post(WebhookClient(rules, resolve=resolve), "http://hooks.example.com/")
        assert inside.connections == 0


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("hooks.example.com", True),
        ("a.example.org", True),
        ("a.b.example.org", True),
        ("example.org", False),
        ("evilexample.org", False),
        ("hooks.example.com.evil.net", False),
        ("example.com", False),
    ],
)
def test_with_a_list_of_hosts_only_those_are_called(host: str, allowed: bool) -> None:  # noqa: FBT001 - a parameter
    rules = AddressRules(hosts=("hooks.example.com", "*.example.org"))
    with contextlib.nullcontext() if allowed else pytest.raises(RefusedAddressError, match="SMSCLICK_WEBHOOK_HOSTS"):
        rules.check_target(target(f"https://{host}/"))


def test_without_tls_only_private_receivers_are_called() -> None:
    with pytest.raises(RefusedAddressError, match="not https"):
        AddressRules().check_target(target("http://example.com/"))
    INSIDE.check_target(target("http://example.com/"))


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with Hook() as inner, Hook(lambda _: 307, {"Location": inner.url}) as outer:
        assert post(WebhookClient(INSIDE), outer.url) == 307
        assert inner.deliveries == []


def test_connections_are_used_again_and_one_that_died_idle_is_replaced() -> None:
    outbound = WebhookClient(INSIDE)
    with contextlib.closing(outbound):
        with Hook() as hook:
            assert [outbound.post(target(hook.url), b"{}", {}) for _ in range(3)] == [200] * 3
            assert hook.connections == 1
        with Hook(headers={"Connection": "close"}) as closing:
            assert [outbound.post(target(closing.url), b"{}", {}) for _ in range(2)] == [200] * 2
        with talking(lambda each: each.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")) as url:
            # It closes right after its answer, without `Connection: close`.
            assert outbound.post(target(url), b"{}", {}) == 204
            time.sleep(0.05)
            with pytest.raises(WebhookFailedError, match=r"no connection|connection broke|in time"):
                post(WebhookClient(INSIDE, total_seconds=0.2), url)


def slowly(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 600:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("say", "seconds", "words"),
    [
        (slowly, 0.4, "no answer in time"),
        (lambda each: each.recv(1), 0.4, "no answer in time"),
        (lambda _: None, 60, "the connection broke"),
        (lambda each: each.sendall(b"220 mail.example.com ESMTP\r\n"), 60, "the answer is not HTTP"),
        (lambda each: each.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200), 60, "the answer is not HTTP"),
    ],
)
def test_what_is_no_answer_ends_in_time_with_a_reason_that_names_no_address(
    say: Callable[[socket.socket], None], seconds: float, words: str
) -> None:
    began = time.monotonic()
    with talking(say) as url, pytest.raises(WebhookFailedError) as failed:
        post(WebhookClient(INSIDE, total_seconds=seconds), url)
    assert str(failed.value) == words
    assert time.monotonic() - began < 20  # half a minute, if each byte started it again


def test_a_body_is_not_read_beyond_its_bound() -> None:
    def flood(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            for _ in range(1500):
                connection.sendall(b"x" * 65536)
            pytest.fail("all of it was read")

    with talking(flood) as url:
        assert post(WebhookClient(INSIDE, total_seconds=60), url) == 200


def test_a_name_that_is_not_known_and_a_port_that_nobody_listens_on_are_failures() -> None:
    with pytest.raises(WebhookFailedError, match="the host's name was not resolved"):
        post(WebhookClient(INSIDE), "https://nobody.invalid/")
    with pytest.raises(WebhookFailedError, match="no connection could be made"):
        post(WebhookClient(INSIDE), "http://127.0.0.1:9/")


def test_a_certificate_must_be_trusted_and_name_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    files = [*("-addext", "subjectAltName=DNS:localhost"), *("-keyout", "key.pem", "-out", "cert.pem")]
    subprocess.run([*command.split(), *files], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with Hook() as hook:
        hook.secure(context)
        with pytest.raises(WebhookFailedError, match="the certificate was not accepted"):
            post(WebhookClient(INSIDE), f"https://localhost:{hook.port}/")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        with pytest.raises(WebhookFailedError, match="the certificate was not accepted"):
            post(WebhookClient(INSIDE), f"https://127.0.0.1:{hook.port}/")
        assert hook.deliveries == []
        assert post(WebhookClient(INSIDE), f"https://localhost:{hook.port}/") == 200
