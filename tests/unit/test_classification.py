"""What the answer to a send proves. The samples are the manual's own."""

from __future__ import annotations

import json

import pytest

from smsclick.provider._answers.classification import classify_send
from smsclick.provider.codes import Action
from smsclick.provider.results import (
    Accepted,
    HttpAnswer,
    Refused,
    TransportFailure,
    Unknown,
)
from tests.manual_answers import NO_BALANCE, SENT, answer

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
