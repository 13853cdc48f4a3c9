"""The four calls: what is sent, what a query raises, and what no error, log or repr may show."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
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
from smsclick.provider.client import SmsclickClient
from smsclick.provider.codes import Estatus
from smsclick.provider.results import Accepted, Refused
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
    reset_after_reading,
    serving,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from tests.senders import Transport


# What goes out.


def test_a_send_is_a_form_as_in_the_manual(transport: Transport) -> None:
    with serving(forever(reply(SENT))) as server, client_of(server, transport=transport) as client:
        assert client.send(PHONE, TEXT, rule_id=7) == Accepted(123, 1, "Mensaje enviado")
    [request] = server.requests
    assert request.path == "/sms-services/sendMsg.json"
    assert request.fields == {"APIKEY": KEY, "TELEFONO": PHONE, "MENSAJE": TEXT, "ID_REGLA_INTERACTIVA": "7"}
    assert request.headers["content-type"] == "application/x-www-form-urlencoded; charset=UTF-8"


def test_an_optional_parameter_that_is_not_given_is_not_sent(transport: Transport) -> None:
    with serving(forever(reply(SENT))) as server, client_of(server, transport=transport) as client:
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


def test_a_text_that_is_not_utf8_is_refused_without_a_word_of_it(dead_port: int, transport: Transport) -> None:
    with client_of(dead_port, transport=transport) as client, pytest.raises(InvalidText) as caught:
        client.send(PHONE, "Su clave es 4821 \ud800")
    assert "clave" not in str(caught.value)
    assert caught.value.__context__ is None


def test_the_environments_proxies_are_not_used(
    monkeypatch: pytest.MonkeyPatch, dead_port: int, transport: Transport
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{dead_port}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{dead_port}")
    with serving(forever(reply(SENT))) as server, client_of(server, transport=transport) as client:
        assert isinstance(client.send(PHONE, TEXT), Accepted)


def test_a_cookie_of_one_answer_is_not_sent_with_the_next_request(transport: Transport) -> None:
    raw = reply(SENT, "200 OK", "Set-Cookie: JSESSIONID=1; Path=/")
    with serving(forever(raw)) as server, client_of(server, transport=transport) as client:
        client.send(PHONE, TEXT)
        client.send(PHONE, TEXT)
    assert "cookie" not in server.requests[1].headers


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


def test_neither_key_nor_phone_nor_text_is_in_a_result_that_echoes_them(transport: Transport) -> None:
    echo = f"APIKEY {KEY} no puede enviar '{TEXT}' a {PHONE}"
    body = json.dumps({"codigo": -999, "descripcion": echo}).encode()
    with serving(forever(reply(body))) as server, client_of(server, transport=transport) as client:
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


def test_neither_key_nor_phone_nor_text_is_logged_at_debug_level(
    caplog: pytest.LogCaptureFixture, transport: Transport
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "urllib3")  # a process of ours that was set up in here has made it quiet
    for handle in (forever(reply(SENT)), answering(b""), reset_after_reading):
        with serving(handle) as server, client_of(server, transport=transport) as client:
            client.send(PHONE, TEXT)
            client.send(PHONE, TEXT)
    assert caplog.text or transport is not SmsclickClient  # ours logs nothing at all
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
