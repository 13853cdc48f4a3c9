"""What a body proves, and what is read from it. The samples are the manual's own."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from smsclick.errors import ProviderRefused, UnreadableAnswer, UnreadableBalance
from smsclick.provider._answers.balance import parse_credits
from smsclick.provider._answers.classification import classify_send
from smsclick.provider._answers.dates import format_date, parse_date
from smsclick.provider._answers.report import parse_report
from smsclick.provider._answers.status import parse_status
from smsclick.provider.codes import Action, Estatus
from smsclick.provider.results import (
    Accepted,
    HttpAnswer,
    MessageStatus,
    Refused,
    ReportRow,
    TransportFailure,
    Unknown,
    UnreadableRow,
)

MEXICO = ZoneInfo("America/Mexico_City")
TIJUANA = ZoneInfo("America/Tijuana")

SENT = '{"codigo":1, "descripcion":"Mensaje enviado", "id_mensaje":123, "creditosUsados":1}'
NO_BALANCE = '{"codigo": -104, "descripcion":"Saldo insuficiente"}'
STATUS = (
    '{"codigo":1, "descripcion":"ok", "estatus_mensaje":1, "telefono":5554542570, '
    '"mensaje":"Felicidades: Responde SI para usar tus puntos en tu compra", '
    '"fecha_envio":"12-08-2017 17:34:56", "respuesta":"Si", "fecha_respuesta":"12-08-2017 17:40:41"}'
)
REPORT = (
    '{"codigo":1,"descripcion":"ok","mensajes":[ { "id_mensaje":123456, "telefono":5548007276, '
    '"mensaje":"MERCADOLIBRE: Responda SI para utilizar su puntos premia en su compra de $1,500", '
    '"fecha_envio":"12-08-2017 13:35:56", "estatus_mensaje":1, "nombre_campania":"CAMPAÑA MERCADO LIBRE 2017", '
    '"portafolio":"TARJETAHABIENTES BANAMEX", "fecha_respuesta":"13-08-2017 15:35:56", '
    '"respuesta_cliente":"SI" } ]}'
)
ROW = {"id_mensaje": 5, "telefono": 5548007276, "mensaje": "Hola", "estatus_mensaje": 3}


def answer(body: str | bytes | object, status: int = 200) -> HttpAnswer:
    if isinstance(body, str):
        body = body.encode()
    return HttpAnswer(status, body if isinstance(body, bytes) else json.dumps(body).encode())


# A send that was accepted.


def test_the_manuals_answer_to_a_good_send_is_accepted() -> None:
    assert classify_send(answer(SENT)) == Accepted(123, 1, "Mensaje enviado")


@pytest.mark.parametrize("status", [200, 202, 302, 400, 408, 429, 500, 503])
def test_a_readable_acceptance_counts_whatever_the_http_status(status: int) -> None:
    assert isinstance(classify_send(answer(SENT, status)), Accepted)


@pytest.mark.parametrize(
    ("field", "credits_used"),
    [
        ({"creditos_usados": 2}, 2),
        ({"creditosUsados": 2}, 2),
        ({"creditos_usados": "2"}, 2),
        ({"creditosUsados": 2.0}, 2),
        ({"creditosUsados": 1.25}, 2),
        ({"creditosUsados": "1.50"}, 2),
        ({"creditos_usados": None, "creditosUsados": 2}, 2),
        ({"creditos_usados": "dos"}, None),
        ({"creditos_usados": True}, None),
        ({"creditos_usados": -1}, None),
        ({}, None),
    ],
)
def test_credits_used_are_read_under_both_spellings(field: dict[str, object], credits_used: int | None) -> None:
    result = classify_send(answer({"codigo": 1, "id_mensaje": 5, **field}))
    assert result == Accepted(5, credits_used, "", fraction=any(value in {1.25, "1.50"} for value in field.values()))


@pytest.mark.parametrize("id_mensaje", [1, "1", " 123 ", 2**63 - 1, str(2**63 - 1), 5.0, "5.0"])
def test_an_id_may_be_a_number_or_digits(id_mensaje: object) -> None:
    result = classify_send(answer({"codigo": "1", "id_mensaje": id_mensaje}))
    assert result == Accepted(int(str(id_mensaje).removesuffix(".0")), None, "")


def test_no_digit_of_a_long_id_is_lost_to_a_decimal_point() -> None:
    assert classify_send(answer('{"codigo":1.0, "id_mensaje":9007199254740993.00}')) == Accepted(2**53 + 1, None, "")


@pytest.mark.parametrize(
    "id_mensaje",
    [
        None,
        0,
        0.0,
        -5,
        True,
        5.5,
        "5.5",
        "5.",
        5e300,
        "",
        "abc",
        "-5",
        2**63,
        10**400,
        [5],
        {"id": 5},
        "\N{FULLWIDTH DIGIT ONE}",
    ],
)
def test_code_1_without_a_usable_id_is_unknown(id_mensaje: object) -> None:
    result = classify_send(answer({"codigo": 1, "id_mensaje": id_mensaje}))
    assert result == Unknown("HTTP 200, codigo 1 without one usable id_mensaje", 1)


@pytest.mark.parametrize(
    "body",
    [
        '{"codigo":1, "id_mensaje":5, "id_mensaje":6}',
        '{"codigo":1, "id_mensaje":5, "idMensaje":6}',
        '{"codigo":1, "codigo":-104, "id_mensaje":5}',
        '{"codigo":-104, "codigo":1, "id_mensaje":5}',
    ],
)
def test_code_or_id_given_twice_is_unknown(body: str) -> None:
    assert isinstance(classify_send(answer(body)), Unknown)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "latin-1"])
def test_an_answer_is_read_in_the_encodings_that_spanish_comes_in(encoding: str) -> None:
    body = '{"codigo":1, "descripcion":"Envío en camión", "id_mensaje":123}'.encode(encoding)
    assert classify_send(answer(body)) == Accepted(123, None, "Envío en camión")


# A send that was refused.


@pytest.mark.parametrize(
    ("body", "code", "action"),
    [
        ('{"codigo": -100, "descripcion":"Parámetro APIKEY no definido"}', -100, Action.HOLD_KEY),
        ('{"codigo": -101, "descripcion":"APIKEY incorrecta"}', -101, Action.HOLD_KEY),
        ('{"codigo": -102, "descripcion":"Parametro TELEFONO no valido"}', -102, Action.FAIL),
        ('{"codigo": -103, "descripcion":"Parametro MENSAJE vacio"}', -103, Action.FAIL),
        (NO_BALANCE, -104, Action.HOLD_NO_BALANCE),
        ('{"codigo": -105, "descripcion":"El valor ID_REGLA_INTERACTIVA no existe"}', -105, Action.FAIL),
    ],
)
def test_every_error_of_the_manual_is_refused_with_what_may_be_done(body: str, code: int, action: Action) -> None:
    result = classify_send(answer(body))
    assert isinstance(result, Refused)
    assert (result.code, result.action) == (code, action)
    assert result.description == json.loads(body)["descripcion"]


@pytest.mark.parametrize("code", [0, 2, -999, -200, -303, "-999", 2**31 - 1])
def test_a_code_that_the_manual_does_not_list_for_a_send_is_refused_for_now(code: object) -> None:
    result = classify_send(answer({"codigo": code, "descripcion": "Mantenimiento"}))
    assert isinstance(result, Refused)
    assert (result.code, result.action) == (int(str(code)), Action.RETRY)


@pytest.mark.parametrize("code", [-104, "-104", " -104 ", -104.0])
def test_a_code_may_be_a_number_or_its_text(code: object) -> None:
    result = classify_send(answer({"codigo": code, "id_mensaje": None}))
    assert isinstance(result, Refused)
    assert result.code == -104


@pytest.mark.parametrize("status", [200, 201, 400, 401, 403, 422])
def test_an_error_code_counts_with_an_http_status_of_the_provider_itself(status: int) -> None:
    assert isinstance(classify_send(answer(NO_BALANCE, status)), Refused)


@pytest.mark.parametrize("status", [100, 301, 302, 307, 308, 408, 429, 500, 502, 503, 504, 599, 600, 999])
def test_an_error_code_proves_nothing_with_an_http_status_from_the_way(status: int) -> None:
    result = classify_send(answer(NO_BALANCE, status))
    redirects = "a redirect, which is never followed: check SMSCLICK_BASE_URL"
    words = redirects if 300 <= status < 400 else "which proves nothing"
    assert result == Unknown(f"HTTP {status}, {words}", -104)


@pytest.mark.parametrize(
    "body",
    [
        '{"codigo":-104, "codigo":-104}',
        '{"codigo":-104, "Codigo":-104}',
        '{"codigo":-104, "CODIGO":1}',
        '{"codigo":-104, "código":1}',
        '{"codigo":-104, "codigo ":1}',
        r'{"codigo":-104, "cod\u0131go":1}',
        '{"codigo":-104, "codigo_respuesta":1}',
        '{"codigo":-104, "descripcion":"a", "Descripcion":"b"}',
        '{"CODIGO":-104}',
        '{"codigo":-104, "id_mensaje":123}',
        '{"codigo":-104, "idMensaje":123}',
        '{"codigo":-104, "id_mensaje":-1}',
        '{"codigo":-104, "id_mensaje":false}',
        '{"codigo":-104, "id_mensaje":"x"}',
        '{"codigo":-104, "detalle":{"codigo":1}}',
        '{"codigo":-104, "detalle":{"codigo":-104}}',
        '{"codigo":-104, "detalle":[[{"x":[{"codigo":1}]}]]}',
        '{"codigo":-104, "detalle":{"id_mensaje":5}}',
        '{"codigo":-104, "detalle":{"a":1, "A":1}}',
        r'{"codigo":-104, "original":"{\"codigo\":1, \"id_mensaje\":123}"}',
        '{"codigo":-104, "original":"<codigo>1</codigo>"}',
        '{"codigo":-104, "descripcion":"Código: 1"}',
        r'{"codigo":-104, "detalle":{"c\u006fdigo":1}}',
    ],
)
def test_an_error_code_with_anything_that_contradicts_it_is_unknown(body: str) -> None:
    result = classify_send(answer(body))
    assert isinstance(result, Unknown)
    assert result.code in (-104, None)


def test_a_code_1_in_utf_8_beside_a_broken_byte_is_no_refusal() -> None:
    body = b'{"codigo":-201, "x\xef":"C\xc3\xb3digo: 1"}'
    assert isinstance(classify_send(HttpAnswer(200, body)), Unknown)


@pytest.mark.parametrize("no_id", ["null", "0", "0.0", '""', '"0"', '"NULL"'])
def test_an_error_code_that_says_that_there_is_no_id_is_refused(no_id: str) -> None:
    result = classify_send(answer(f'{{"codigo":-104, "id_mensaje":{no_id}}}'))
    assert isinstance(result, Refused)
    assert result.action is Action.HOLD_NO_BALANCE


@pytest.mark.parametrize(
    "code",
    [
        None,
        True,
        False,
        1.5,
        -104.25,
        1e30,
        "1.0",
        "01",
        "+1",
        "",
        "uno",
        "-0",
        "--104",
        [1],
        {"codigo": 1},
        2**31,
        10**400,
    ],
)
def test_a_code_that_is_no_whole_number_is_unknown(code: object) -> None:
    assert isinstance(classify_send(answer({"codigo": code})), Unknown)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "  ",
        "null",
        "1",
        "-104",
        '"codigo"',
        "[]",
        f"[{NO_BALANCE}]",
        "{}",
        '{"mensaje":"hola"}',
        NO_BALANCE[:-1],
        NO_BALANCE + NO_BALANCE,
        NO_BALANCE + "<!-- -->",
        "<br />Warning: mysql_connect()" + NO_BALANCE,
        "<html><body>502 Bad Gateway</body></html>",
        '{"codigo":NaN}',
        '{"codigo":-Infinity}',
        "{'codigo':-104}",
        '{"codigo":-104,}',
        '{"codigo":' + "9" * 5000 + "}",
        "[" * 100_000,
        '{"a":' * 50_000,
    ],
    ids=lambda body: body[:30],
)
def test_what_is_not_one_whole_json_object_with_a_code_is_unknown(body: str) -> None:
    assert isinstance(classify_send(answer(body)), Unknown)


@pytest.mark.parametrize("body", [b"\xff\xfe\x00", b"\x00" * 10, NO_BALANCE.encode("utf-16"), b"\x1f\x8b\x08"])
def test_bytes_that_are_no_text_are_unknown(body: bytes) -> None:
    assert isinstance(classify_send(answer(body)), Unknown)


# No answer at all.


def test_a_request_that_provably_never_left_is_refused_for_now() -> None:
    result = classify_send(TransportFailure("the connection was refused", never_left=True))
    assert result == Refused(None, "", Action.RETRY, "the connection was refused; the request never left")


def test_a_request_that_may_have_left_is_unknown() -> None:
    result = classify_send(TransportFailure("no answer in time", never_left=False))
    assert result == Unknown("no answer in time; the request may have arrived")


# Descriptions.


def described(description: object, *hide: str) -> str:
    result = classify_send(answer({"codigo": -102, "descripcion": description}), hide=hide)
    assert isinstance(result, Refused)
    return result.description


@pytest.mark.parametrize("phone", ["5551402211", "+52 55 5140 2211", "(55) 5140-2211", "55.5140.2211", "1234567"])
def test_a_phone_that_the_provider_echoes_is_redacted(phone: str) -> None:
    shown = described(f"TELEFONO {phone} no valido")
    assert "…" in shown
    assert not any(digits in shown for digits in ("2211", "5140", "4567"))


def test_words_to_hide_are_redacted_however_the_provider_spaces_them() -> None:
    shown = described("APIKEY k3y-secret: no se envió 'Su  clave\nes 12'", "k3y-secret", "Su clave es  12")
    assert shown == "APIKEY …: no se envió '…'"


def test_a_description_is_one_line_without_control_characters() -> None:
    assert described("uno\r\n\tdos\x00\x1b[31m  tres\ud800") == "uno dos [31m tres"


def test_a_long_description_is_cut() -> None:
    shown = described("no " * 5000)
    assert len(shown) == 200
    assert shown.endswith("no n…")


@pytest.mark.parametrize("description", [None, 5, ["a"], {"a": "b"}])
def test_a_description_that_is_no_text_is_empty(description: object) -> None:
    assert described(description) == ""


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


# Dates.


@pytest.mark.parametrize(
    ("text", "zone", "time"),
    [
        ("12-08-2017 17:34:56", MEXICO, datetime(2017, 8, 12, 22, 34, 56, tzinfo=UTC)),
        ("12-08-2026 17:34:56", MEXICO, datetime(2026, 8, 12, 23, 34, 56, tzinfo=UTC)),
        (" 1-2-2026 3:04:05 ", MEXICO, datetime(2026, 2, 1, 9, 4, 5, tzinfo=UTC)),
        ("02-11-2025 01:30:00", TIJUANA, datetime(2025, 11, 2, 8, 30, tzinfo=UTC)),
        ("09-03-2025 02:30:00", TIJUANA, datetime(2025, 3, 9, 10, 30, tzinfo=UTC)),
    ],
    ids=["summer time", "no summer time any more", "short", "an hour that comes twice", "an hour that is skipped"],
)
def test_a_date_is_read_on_the_providers_clocks(text: str, zone: ZoneInfo, time: datetime) -> None:
    assert parse_date(text, zone) == time


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        "",
        "NULL",
        "2017-08-12 17:34:56",
        "31-02-2026 00:00:00",
        "00-00-0000 00:00:00",
        "01-01-2026 24:00:00",
        "31-12-9999 23:59:59",
        "12-08-2017",
    ],
)
def test_a_date_that_nobody_can_read_is_none(value: object) -> None:
    assert parse_date(value, MEXICO) is None


def test_a_date_is_written_as_the_provider_writes_it() -> None:
    time = datetime(2018, 1, 20, 6, 0, 0, 999_999, tzinfo=UTC)
    assert format_date(time, MEXICO) == "20-01-2018 00:00:00"
