"""A company's network: its own certificates, its proxy, and redirects, which would get the key."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from smsclick.errors import ProviderUnreachable, SettingsError, UnreadableAnswer
from smsclick.provider.account_client import open_client
from smsclick.provider.client import SmsclickClient
from smsclick.provider.codes import Action
from smsclick.provider.failures import FailureKind
from smsclick.provider.results import Accepted, Refused, Unknown
from smsclick.settings import Settings, load_settings
from smsclick.simulator import ENDPOINTS, Fault, FaultKind, Simulator
from tests.certificates import Authority
from tests.commandline import call
from tests.factories import KEY
from tests.proxies import ConnectProxy, TlsFront
from tests.senders import open_as
from tests.socket_server import Server, forever, reply, serving
from worker.operator.doctor.checkup import examine

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.senders import Transport

HOST = "provider.invalid"
"""Nobody can resolve it: only a proxy leads there."""
PHONE, TEXT = "5551402211", "Su clave es 4821"
PASSWORD = "se/cre@to"
LOGIN = "ana:se%2Fcre%40to"
PROXY = FailureKind.PROXY


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(api_key=KEY, delivery_seconds=0) as running:
        yield running


@pytest.fixture(scope="module")
def secured(authority: Authority, simulator: Simulator) -> Iterator[TlsFront]:
    """SMSClick with TLS, for its own name and `localhost`."""
    port = urlsplit(simulator.base_url).port
    assert port
    with TlsFront(port, authority.server(f"DNS:{HOST}", "DNS:localhost")) as front:
        yield front


def settings(**variables: str) -> Settings:
    return load_settings(
        **{
            "SMSCLICK_API_KEY": KEY,
            "SMSCLICK_BASE_URL": f"https://{HOST}/sms-services",
            "SMSCLICK_CONNECT_TIMEOUT": "20",
            **variables,
        }
    )


def never_left(result: object) -> str:
    assert isinstance(result, Refused)
    assert result.action is Action.RETRY
    return result.reason


# Through a proxy.


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_all_four_calls_go_through_the_proxy_and_the_connection_is_kept(
    scheme: str, authority: Authority, secured: TlsFront, transport: Transport
) -> None:
    context = authority.server("DNS:localhost") if scheme == "https" else None
    with (
        ConnectProxy(secured.port, login=f"ana:{PASSWORD}", context=context) as proxy,
        open_as(
            transport,
            settings(
                SMSCLICK_PROXY=f"{scheme}://{LOGIN}@localhost:{proxy.port}", SMSCLICK_CA_BUNDLE=str(authority.root)
            ),
        ) as client,
    ):
        sent = client.send(PHONE, TEXT)
        assert isinstance(sent, Accepted)
        now = dt.datetime.now(dt.UTC)
        assert client.status(sent.id_mensaje).estatus is not None
        assert client.credits() > 0
        assert client.report(now - dt.timedelta(hours=1), now + dt.timedelta(hours=1))
        assert list(client.report_rows(now - dt.timedelta(hours=1), now + dt.timedelta(hours=1)))
        assert isinstance(client.send(PHONE, TEXT), Accepted)
    # What sends on a loop has a connection of its own.
    made = 1 if transport is SmsclickClient else 2
    assert [line.rpartition(" ")[0] for line in proxy.asked] == [f"CONNECT {HOST}:443"] * made


@pytest.mark.parametrize(
    ("answer", "words", "kind"),
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nno!",
            "asks for a user and password",
            PROXY,
        ),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "the proxy made no way to the provider (HTTP 502)", PROXY),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n<html>", "the proxy made no way to the provider (HTTP 403)", PROXY),
        (b"HTTP/1.1 302 Found\r\nLocation: http://login.invalid/\r\n\r\n", "the proxy made no way", PROXY),
        (b"nonsense\r\n\r\n", "at the proxy: ", PROXY),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000, "at the proxy: ", PROXY),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 502 Bad Gateway\r\n\r\n", "the request never left", FailureKind.NETWORK),
    ],
)
def test_a_tunnel_that_is_not_made_never_left(
    answer: bytes, words: str, kind: FailureKind, authority: Authority, transport: Transport
) -> None:
    given = {"SMSCLICK_CA_BUNDLE": str(authority.root)}
    with (
        ConnectProxy(answer=answer) as proxy,
        open_as(transport, settings(SMSCLICK_PROXY=f"http://{LOGIN}@127.0.0.1:{proxy.port}", **given)) as client,
    ):
        said = never_left(client.send(PHONE, TEXT))
        with pytest.raises(ProviderUnreachable) as caught:
            client.credits()
    assert words in said
    assert (caught.value.never_left, caught.value.kind) == (True, kind)
    assert not {PASSWORD, LOGIN, KEY} & set(said.split())


def test_a_silent_proxy_and_one_that_is_not_there_never_left(authority: Authority, transport: Transport) -> None:
    with ConnectProxy(answer=b"") as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        with open_as(transport, settings(SMSCLICK_PROXY=url, SMSCLICK_CONNECT_TIMEOUT="0.3")) as client:
            assert never_left(client.send(PHONE, TEXT)).startswith("at the proxy: no answer in time")
    with open_as(transport, settings(SMSCLICK_PROXY=url)) as client:
        assert never_left(client.send(PHONE, TEXT)).startswith("at the proxy: the connection was refused")
    with open_as(transport, settings(SMSCLICK_PROXY="http://nobody.invalid:3128")) as client:
        assert never_left(client.send(PHONE, TEXT)).startswith("at the proxy: its name was not resolved")


def test_what_breaks_behind_the_tunnel_is_unknown(authority: Authority, transport: Transport) -> None:
    def handle(server: Server, connection: socket.socket) -> None:
        server.read(connection)  # and not a word

    with (
        serving(handle) as server,
        TlsFront(server.port, authority.server(f"DNS:{HOST}")) as front,
        ConnectProxy(front.port) as proxy,
        open_as(
            transport,
            settings(
                SMSCLICK_PROXY=f"http://127.0.0.1:{proxy.port}",
                SMSCLICK_CA_BUNDLE=str(authority.root),
            ),
        ) as client,
    ):
        result = client.send(PHONE, TEXT)
    assert isinstance(result, Unknown)
    assert len(server.requests) == 1


def test_a_provider_on_this_machine_is_reached_without_the_proxy(simulator: Simulator) -> None:
    given = settings(SMSCLICK_BASE_URL=simulator.base_url, SMSCLICK_PROXY="http://nobody.invalid:3128")
    with open_client(given) as client:
        assert client.credits() > 0


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"SMSCLICK_PROXY": f"socks5://{LOGIN}@h:1080"}, "SMSCLICK_PROXY: must start with http:// or https://"),
        ({"SMSCLICK_PROXY": "proxy:3128"}, "SMSCLICK_PROXY: must start with http:// or https://"),
        (
            {"SMSCLICK_PROXY": "http://ana:se@cre@to@h:3128"},
            "SMSCLICK_PROXY: can be split into its parts in several ways",
        ),
        ({"SMSCLICK_PROXY": f"http://{LOGIN}@h:port"}, "SMSCLICK_PROXY: has no readable port"),
        ({"SMSCLICK_PROXY": f"http://{LOGIN}@h:1/path"}, "SMSCLICK_PROXY: must be the address of a proxy"),
        ({"SMSCLICK_PROXY": f"http://{LOGIN}@h:1", "SMSCLICK_BASE_URL": "http://h/x"}, "SMSCLICK_PROXY: needs"),
        ({"SMSCLICK_CA_BUNDLE": "/nowhere/ca.pem"}, "SMSCLICK_CA_BUNDLE: /nowhere/ca.pem cannot be read"),
        ({"SMSCLICK_CA_BUNDLE": __file__}, "holds no certificate in PEM"),
        ({"SMSCLICK_CA_BUNDLE": "/"}, "SMSCLICK_CA_BUNDLE: / "),
    ],
)
def test_what_cannot_be_used_is_one_line_without_a_secret(variables: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings(**variables)
    line = str(refused.value)
    assert said in line
    assert "\n" not in line
    assert "for example" in line
    assert not {"cre", "se%2F"} & {word for word in ("cre", "se%2F") if word in line}


def test_a_proxys_password_is_in_no_text_of_ours() -> None:
    given = settings(SMSCLICK_PROXY=f"http://{LOGIN}@h:3128")
    with open_client(given) as client:
        assert "cre%40to" not in repr(given) + repr(client)


# An authority of one's own.


@contextlib.contextmanager
def asked(transport: Transport, url: str, bundle: Path | None) -> Iterator[SmsclickClient]:
    with transport(KEY, url, ca_bundle=None if bundle is None else str(bundle)) as client:
        yield client


def test_an_authority_of_ones_own_is_trusted_only_where_it_is_named(
    authority: Authority, secured: TlsFront, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: Transport
) -> None:
    url = f"https://localhost:{secured.port}/sms-services"
    other = Authority(tmp_path, "other")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.root))  # does not count, and so does
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.root))
    with asked(transport, url, authority.root) as client:
        assert isinstance(client.send(PHONE, TEXT), Accepted)
    for bundle in (None, other.root):
        with asked(transport, url, bundle) as client:
            said = never_left(client.send(PHONE, TEXT))
            assert said.startswith("the provider's certificate was not accepted: nobody here knows its authority")
    with asked(transport, url.replace("localhost", "127.0.0.1"), authority.root) as client:
        assert "not accepted: it names another address" in never_left(client.send(PHONE, TEXT))


def test_a_file_of_certificates_that_vanishes_later_makes_nothing_unknown(
    authority: Authority, secured: TlsFront, tmp_path: Path, transport: Transport
) -> None:
    copy = tmp_path / "copy.pem"
    copy.write_bytes(authority.root.read_bytes())
    with asked(transport, f"https://localhost:{secured.port}/sms-services", copy) as client:
        copy.unlink()
        assert isinstance(client.send(PHONE, TEXT), Accepted)


def test_doctor_and_the_commands_say_what_to_do_about_a_certificate(
    secured: TlsFront, authority: Authority, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"https://localhost:{secured.port}/sms-services"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.root))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    env = {"SMSCLICK_API_KEY": KEY, "SMSCLICK_BASE_URL": url, "DATABASE_URL": sqlite_url}
    found = next(check for check in examine(load=lambda: load_settings(**env)) if check.name == "key")
    line = call("balance", env=env).err
    for said in (found.todo, line):
        assert "name its file in SMSCLICK_CA_BUNDLE (REQUESTS_CA_BUNDLE counts for other programs only)" in said
    trusted = env | {"SMSCLICK_CA_BUNDLE": str(authority.root)}
    assert call("balance", env=trusted).code == 0


# Redirects.


def moved(status: str, location: str) -> Callable[[Server, socket.socket], None]:
    return forever(reply(b"", status, f"Location: {location}"))


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_no_call_follows_a_redirect_and_each_says_so_without_the_address(status: str, transport: Transport) -> None:
    with serving(forever(reply(b'{"codigo":1, "creditos":1, "mensajes":[], "id_mensaje":5}'))) as other:
        location = f"http://127.0.0.1:{other.port}/?APIKEY={KEY}&MENSAJE={TEXT.replace(' ', '+')}"
        with (
            serving(moved(status, location)) as server,
            transport(KEY, f"http://localhost:{server.port}") as client,
        ):
            now = dt.datetime.now(dt.UTC)
            sent = client.send(PHONE, TEXT)
            assert isinstance(sent, Unknown)
            words = [sent.reason]
            for query in (
                lambda: client.status(5),
                lambda: client.report(now, now),
                lambda: list(client.report_rows(now, now)),
                client.credits,
            ):
                with pytest.raises(UnreadableAnswer) as caught:
                    query()
                assert caught.value.is_redirect
                words.append(str(caught.value))
    for line in words:
        assert "a redirect, which is never followed: check SMSCLICK_BASE_URL" in line
        assert KEY not in line
        assert "127.0.0.1" not in line
    assert other.requests == []


def test_doctor_and_the_commands_say_that_the_address_redirects(sqlite_url: str) -> None:
    with Simulator(api_key=KEY) as simulator:
        simulator.faults([Fault(FaultKind.REDIRECT, endpoints=ENDPOINTS)])
        env = {"SMSCLICK_API_KEY": KEY, "SMSCLICK_BASE_URL": simulator.base_url, "DATABASE_URL": sqlite_url}
        found = next(check for check in examine(load=lambda: load_settings(**env)) if check.name == "key")
        said = [f"{found.found}; {found.todo}"]
        for command in (("balance",), ("status", "5"), ("report", "2026-01-01", "2026-01-02")):
            done = call(*command, env=env)
            assert done.code == 1
            said.append(done.err)
    for line in said:
        assert "a redirect, which is never followed" in line
        assert "set SMSCLICK_BASE_URL" in line
        assert "login" not in line
    assert json.dumps(said).count("Traceback") == 0
