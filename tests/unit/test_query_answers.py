"""What is read from the answers of getMsg, report and credits. The samples are the manual's own."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from smsclick.errors import ProviderRefused, UnreadableAnswer, UnreadableBalance
from smsclick.provider._answers.balance import parse_credits
from smsclick.provider._answers.report import parse_report
from smsclick.provider._answers.status import parse_status
from smsclick.provider.codes import Estatus
from smsclick.provider.results import (
    HttpAnswer,
    MessageStatus,
    ReportRow,
    UnreadableRow,
)
from tests.manual_answers import MEXICO, REPORT, ROW, STATUS, answer

# getMsg.


def test_the_manuals_answer_to_get_msg_is_read_whole() -> None:
    assert parse_status(answer(STATUS), MEXICO) == MessageStatus(
        estatus=Estatus.EN_PROCESO,
        phone="5554542570",
        text="Felicidades: Responde SI para usar tus puntos en tu compra",
        fecha_envio=datetime(2017, 8, 12, 22, 34, 56, tzinfo=UTC),
        reply="Si",
        replied_at=datetime(2017, 8, 12, 22, 40, 41, tzinfo=UTC),
        description="ok",
    )


@pytest.mark.parametrize("reply", [None, "NULL", "null", " Null ", ""])
def test_no_reply_is_written_in_several_ways(reply: object) -> None:
    body = {"codigo": 1, "estatus_mensaje": 3, "respuesta": reply, "fecha_respuesta": reply}
    status = parse_status(answer(body), MEXICO)
    assert (status.reply, status.replied_at) == (None, None)


def test_a_reply_of_digits_may_come_as_a_number() -> None:
    assert parse_status(answer({"codigo": 1, "estatus_mensaje": 3, "respuesta": 2}), MEXICO).reply == "2"


@pytest.mark.parametrize("estatus", [*range(5), *"01234"])
def test_an_estatus_may_be_a_number_or_its_digit(estatus: object) -> None:
    status = parse_status(answer({"codigo": 1, "estatus_mensaje": estatus}), MEXICO)
    assert status.estatus == int(str(estatus))


@pytest.mark.parametrize("estatus", [None, 5, -1, True, 3.5, "5", "", "Recibido", [3]])
def test_an_estatus_outside_the_manual_is_unreadable(estatus: object) -> None:
    with pytest.raises(UnreadableAnswer, match="estatus_mensaje"):
        parse_status(answer({"codigo": 1, "estatus_mensaje": estatus}), MEXICO)


def test_get_msg_of_an_unknown_id_is_refused_with_its_code() -> None:
    body = '{"codigo":-201, "descripcion":"Identificador de mensaje no existe", "estatus_mensaje":null}'
    with pytest.raises(ProviderRefused) as caught:
        parse_status(answer(body), MEXICO)
    assert (caught.value.code, caught.value.description) == (-201, "Identificador de mensaje no existe")


@pytest.mark.parametrize(
    ("phone", "read"),
    [
        (5551402211, "5551402211"),
        (525551402211, "5551402211"),
        ("044 55 5140 2211", "5551402211"),
        (5551402211.0, "5551402211"),
        (12125551234, "12125551234"),
        ("sin número", None),
        (None, None),
        (True, None),
    ],
)
def test_a_phone_comes_back_in_the_form_that_we_sent(phone: object, read: str | None) -> None:
    status = parse_status(answer({"codigo": 1, "estatus_mensaje": 3, "telefono": phone}), MEXICO)
    assert status.phone == read


def test_a_text_that_no_database_stores_is_made_storable() -> None:
    body = {"codigo": 1, "estatus_mensaje": 3, "mensaje": "a\x00b", "respuesta": "c\ud800d"}
    status = parse_status(answer(body), MEXICO)
    assert (status.text, status.reply) == ("a\N{REPLACEMENT CHARACTER}b", "c\N{REPLACEMENT CHARACTER}d")


# report.


def test_the_manuals_report_is_read_whole() -> None:
    assert parse_report(answer(REPORT), MEXICO) == [
        ReportRow(
            id_mensaje=123456,
            phone="5548007276",
            text="MERCADOLIBRE: Responda SI para utilizar su puntos premia en su compra de $1,500",
            fecha_envio=datetime(2017, 8, 12, 18, 35, 56, tzinfo=UTC),
            estatus=Estatus.EN_PROCESO,
            nombre_campania="CAMPAÑA MERCADO LIBRE 2017",
            portafolio="TARJETAHABIENTES BANAMEX",
            reply="SI",
            replied_at=datetime(2017, 8, 13, 20, 35, 56, tzinfo=UTC),
        )
    ]


def test_a_report_quoted_as_in_the_manual_is_read_too() -> None:
    quoted = '"' + REPORT.replace('"', '""') + '"\n'
    assert parse_report(answer(quoted), MEXICO) == parse_report(answer(REPORT), MEXICO)


@pytest.mark.parametrize("messages", [None, []])
def test_a_report_of_nothing_is_empty(messages: object) -> None:
    assert parse_report(answer({"codigo": 1, "mensajes": messages}), MEXICO) == []


def test_an_optional_column_may_be_absent() -> None:
    [row] = parse_report(answer({"codigo": 1, "mensajes": [ROW]}), MEXICO)
    assert isinstance(row, ReportRow)
    assert (row.fecha_envio, row.nombre_campania, row.portafolio, row.reply, row.replied_at) == (None,) * 5


@pytest.mark.parametrize(
    ("row", "read"),
    [
        (None, UnreadableRow(None, "it is no object")),
        ([], UnreadableRow(None, "it is no object")),
        ("fila", UnreadableRow(None, "it is no object")),
        ({}, UnreadableRow(None, "no readable id_mensaje and telefono and mensaje")),
        ({**ROW, "id_mensaje": None}, UnreadableRow(None, "no readable id_mensaje", phone="5548007276")),
        ({**ROW, "id_mensaje": 2**63}, UnreadableRow(None, "no readable id_mensaje", phone="5548007276")),
        ({**ROW, "id_mensaje": 7.5}, UnreadableRow(None, "no readable id_mensaje", phone="5548007276")),
        ({**ROW, "telefono": None}, UnreadableRow(5, "no readable telefono")),
        ({**ROW, "mensaje": None}, UnreadableRow(5, "no readable mensaje", phone="5548007276")),
        ({**ROW, "mensaje": ["Hola"]}, UnreadableRow(5, "no readable mensaje", phone="5548007276")),
        ({**ROW, "Mensaje": "otro"}, UnreadableRow(None, "a name comes twice")),
        (
            {**ROW, "mensaje": None, "fecha_envio": "12-08-2017 13:35:56"},
            UnreadableRow(5, "no readable mensaje", datetime(2017, 8, 12, 18, 35, 56, tzinfo=UTC), "5548007276"),
        ),
    ],
)
def test_a_row_that_cannot_be_read_comes_as_such_between_the_others(row: object, read: UnreadableRow) -> None:
    before, odd, after = parse_report(answer({"codigo": 1, "mensajes": [ROW, row, ROW]}), MEXICO)
    assert odd == read
    assert before == after
    assert isinstance(before, ReportRow)


@pytest.mark.parametrize("estatus", [9, -1, None, 3.5, "Recibido", [3]])
def test_an_estatus_that_the_manual_does_not_list_leaves_the_rest_of_its_row_readable(estatus: object) -> None:
    [row] = parse_report(answer({"codigo": 1, "mensajes": [{**ROW, "estatus_mensaje": estatus}]}), MEXICO)
    assert isinstance(row, ReportRow)
    assert (row.estatus, row.id_mensaje) == (None, 5)


@pytest.mark.parametrize(
    ("zone", "date", "first", "later"),
    [
        ("America/Tijuana", "01-11-2026 01:30:00", (8, 30), (9, 30)),
        ("America/Tijuana", "01-11-2026 00:59:59", (7, 59), None),
        ("America/Tijuana", "01-11-2026 02:00:00", (10, 0), None),
        ("America/Tijuana", "08-03-2026 02:30:00", (10, 30), None),
        ("America/Mexico_City", "01-11-2026 01:30:00", (7, 30), None),
    ],
    ids=["repeated", "before", "after", "skipped", "no summer time"],
)
def test_a_date_in_the_hour_that_the_clocks_show_twice_has_two_readings(
    zone: str, date: str, first: tuple[int, int], later: tuple[int, int] | None
) -> None:
    [row] = parse_report(answer({"codigo": 1, "mensajes": [{**ROW, "fecha_envio": date}]}), ZoneInfo(zone))
    assert isinstance(row, ReportRow)
    assert row.fecha_envio is not None
    assert (row.fecha_envio.hour, row.fecha_envio.minute) == first
    assert (row.fecha_envio_later and (row.fecha_envio_later.hour, row.fecha_envio_later.minute)) == later


@pytest.mark.parametrize("body", [{"codigo": 1}, {"codigo": 1, "mensajes": {}}, {"codigo": 1, "mensajes": "no"}])
def test_a_report_without_a_list_is_unreadable(body: object) -> None:
    with pytest.raises(UnreadableAnswer, match="mensajes"):
        parse_report(answer(body), MEXICO)


def test_a_cut_report_is_unreadable() -> None:
    with pytest.raises(UnreadableAnswer):
        parse_report(answer(REPORT[:-3]), MEXICO)


@pytest.mark.parametrize("code", [-100, -101, -300, -301, -302, -303])
def test_an_error_of_a_report_is_refused_with_its_code(code: int) -> None:
    with pytest.raises(ProviderRefused) as caught:
        parse_report(answer({"codigo": code, "descripcion": "x", "mensajes": None}), MEXICO)
    assert caught.value.code == code


# credits, and what all queries share.


@pytest.mark.parametrize(
    ("creditos", "balance"),
    [
        (1200232, 1200232),
        ("1200232", 1200232),
        (0, 0),
        (12.0, 12),
        (-3, -3),
        (1200.75, 1200),
        (-0.5, -1),
        ("1,200,232", 1200232),
        ("1,200.50", 1200),
        ("1 200\u00a0232", 1200232),
        ("1'200", 1200),
        ("1.200.232,50", 1200232),
        ("1.200", 1),
        ("12,5", 12),
        ("$1,200.00", 1200),
        ("1200 créditos", 1200),
        ("-1,200", -1200),
    ],
)
def test_the_balance_is_read(creditos: object, balance: int) -> None:
    assert math.floor(parse_credits(answer({"codigo": 1, "descripcion": "ok", "creditos": creditos}))) == balance


def test_what_a_balance_says_behind_the_decimal_point_is_kept() -> None:
    assert parse_credits(answer({"codigo": 1, "creditos": "1,200.50"})) == Decimal("1200.50")


@pytest.mark.parametrize("creditos", [None, True, "", "mucho", "1,2,3", "12,34,567", "1e5", "5-", [5], 10**400, 1e300])
def test_a_balance_that_is_no_amount_is_unreadable_and_said_to_be_only_that(creditos: object) -> None:
    with pytest.raises(UnreadableBalance, match="creditos"):
        parse_credits(answer({"codigo": 1, "creditos": creditos}))


@pytest.mark.parametrize("status", [302, 404, 408, 429, 500, 503])
def test_data_with_an_http_error_do_not_count(status: int) -> None:
    with pytest.raises(UnreadableAnswer, match=f"HTTP {status}"):
        parse_credits(answer({"codigo": 1, "creditos": 5}, status))


def test_an_unreadable_answer_says_how_long_to_wait() -> None:
    with pytest.raises(UnreadableAnswer) as caught:
        parse_credits(HttpAnswer(429, b"slow down", 30.0))
    assert (caught.value.status, caught.value.retry_after) == (429, 30.0)


def test_an_unreadable_answer_is_not_chained_to_an_error_that_holds_the_body() -> None:
    with pytest.raises(UnreadableAnswer) as caught:
        parse_report(answer('{"mensaje":"Su clave es 12'), MEXICO)
    assert caught.value.__context__ is None
    assert "clave" not in str(caught.value)
