"""Every code of the manual, word for word, as a client sees it."""

from collections.abc import Iterator

import pytest
import requests

from smsclick.simulator import Simulator

KEY = "prueba"
NOW = 1_502_577_296.5  # 12-08-2017 17:34:56 in Mexico City, which had summer time then (UTC-5)


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(api_key=KEY, balance=3, clock=lambda: NOW) as simulator:
        yield simulator


def ask(sim: Simulator, endpoint: str, **fields: str) -> str:
    answer = requests.post(f"{sim.base_url}/{endpoint}.json", data=fields, timeout=60)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    return answer.content.decode()


def send(sim: Simulator, phone: str = "5551402211", text: str = "hola", **more: str) -> str:
    return ask(sim, "sendMsg", APIKEY=KEY, TELEFONO=phone, MENSAJE=text, **more)


def test_an_accepted_message_is_answered_with_its_id_and_credits(sim: Simulator) -> None:
    answer = send(sim)
    id_mensaje = sim.ledger()[0].id_mensaje
    assert answer == (f'{{"codigo":1, "descripcion":"Mensaje enviado", "id_mensaje":{id_mensaje}, "creditosUsados":1}}')


SEND_OK = {"APIKEY": KEY, "TELEFONO": "5551402211", "MENSAJE": "hola"}
GET_NULLS = '"estatus_mensaje":null, "fecha_recepcion":null, "respuesta":null'
WINDOW = {"APIKEY": KEY, "FECHA_INICIO": "01-01-2017 00:00:00", "FECHA_FIN": "31-12-2017 23:59:59"}


@pytest.mark.parametrize(
    ("endpoint", "fields", "body"),
    [
        ("sendMsg", {}, '{"codigo": -100, "descripcion":"Parámetro APIKEY no definido"}'),
        ("sendMsg", SEND_OK | {"APIKEY": "otra"}, '{"codigo": -101, "descripcion":"APIKEY incorrecta"}'),
        (
            "sendMsg",
            SEND_OK | {"TELEFONO": "525551402211"},
            '{"codigo": -102, "descripcion":"Parametro TELEFONO no valido"}',
        ),
        (
            "sendMsg",
            SEND_OK | {"TELEFONO": "55514x2211"},
            '{"codigo": -102, "descripcion":"Parametro TELEFONO no valido"}',
        ),
        (
            "sendMsg",
            SEND_OK | {"TELEFONO": "٥٥٥١٤٠٢٢١١"},
            '{"codigo": -102, "descripcion":"Parametro TELEFONO no valido"}',
        ),
        ("sendMsg", SEND_OK | {"MENSAJE": ""}, '{"codigo": -103, "descripcion":"Parametro MENSAJE vacio"}'),
        ("sendMsg", SEND_OK | {"MENSAJE": " "}, '{"codigo": -103, "descripcion":"Parametro MENSAJE vacio"}'),
        (
            "sendMsg",
            SEND_OK | {"MENSAJE": "x" * 451},
            '{"codigo": -104, "descripcion":"Saldo insuficiente"}',
        ),
        (
            "sendMsg",
            SEND_OK | {"ID_REGLA_INTERACTIVA": "99"},
            '{"codigo": -105, "descripcion":"El valor ID_REGLA_INTERACTIVA no existe"}',
        ),
        ("getMsg", {}, f'{{"codigo":-100, "descripcion":"Apikey no definida", {GET_NULLS}}}'),
        (
            "getMsg",
            {"APIKEY": "otra", "ID_MENSAJE": "1"},
            f'{{"codigo":-101, "descripcion":"Apikey incorrecta", {GET_NULLS}}}',
        ),
        (
            "getMsg",
            {"APIKEY": KEY, "ID_MENSAJE": "uno"},
            f'{{"codigo":-200, "descripcion":"Identificador de mensaje no válido", {GET_NULLS}}}',
        ),
        (
            "getMsg",
            {"APIKEY": KEY},
            f'{{"codigo":-200, "descripcion":"Identificador de mensaje no válido", {GET_NULLS}}}',
        ),
        (
            "getMsg",
            {"APIKEY": KEY, "ID_MENSAJE": "7"},
            f'{{"codigo":-201, "descripcion":"Identificador de mensaje no existe", {GET_NULLS}}}',
        ),
        ("report", {}, '{"codigo":-100, "descripcion":"Apikey no definida", "mensajes":null}'),
        (
            "report",
            WINDOW | {"APIKEY": "otra"},
            '{"codigo":-101, "descripcion":"Apikey incorrecta", "mensajes":null}',
        ),
        (
            "report",
            WINDOW | {"FECHA_INICIO": "2017-01-01 00:00:00"},
            '{"codigo":-300, "descripcion":"Parametro FECHA_INICIO vacío o formato incorrecto", "mensajes":null}',
        ),
        (
            "report",
            WINDOW | {"FECHA_FIN": "31-02-2017 00:00:00"},
            '{"codigo":-301, "descripcion":"Parametro FECHA_FIN vacío formato incorrecto", "mensajes":null}',
        ),
        (
            "report",
            WINDOW | {"ESTATUS_MENSAJE": "2;3"},
            '{"codigo":-302, "descripcion":"Parametro ESTATUS_MENSAJE formato incorrecto", "mensajes":null}',
        ),
        (
            "report",
            WINDOW | {"ID_CAMPANIA": "navidad"},
            '{"codigo":-303, "descripcion":"Parametro ID_CAMPANIA formato incorrecto", "mensajes":null}',
        ),
        ("report", WINDOW, '{"codigo":1,"descripcion":"ok","mensajes":[  ]}'),
        ("credits", {}, '{"codigo":-100, "descripcion":"Apikey no definida", "mensajes":null}'),
        (
            "credits",
            {"APIKEY": "otra"},
            '{"codigo":-101, "descripcion":"Apikey incorrecta", "mensajes":null}',
        ),
        ("credits", {"APIKEY": KEY}, '{"codigo":1, "descripcion":"ok", "creditos":3}'),
    ],
)
def test_each_answer_is_the_manuals_and_accepts_nothing(
    sim: Simulator, endpoint: str, fields: dict[str, str], body: str
) -> None:
    assert ask(sim, endpoint, **fields) == body
    assert sim.ledger() == []


def test_a_status_is_answered_as_in_the_manuals_sample(sim: Simulator) -> None:
    sim.set(delivery_seconds=0, reply_seconds=0, reply_text="Si")
    send(sim, "5554542570", "Felicidades: Responde SI para usar tus puntos", ID_REGLA_INTERACTIVA="1")
    assert ask(sim, "getMsg", APIKEY=KEY, ID_MENSAJE=str(sim.ledger()[0].id_mensaje)) == (
        '{"codigo":1, "descripcion":"ok", "estatus_mensaje":3, "telefono":5554542570, '
        '"mensaje":"Felicidades: Responde SI para usar tus puntos", "fecha_envio":"12-08-2017 17:34:56", '
        '"respuesta":"Si", "fecha_respuesta":"12-08-2017 17:34:56"}'
    )


def test_a_status_without_a_reply_says_the_text_null(sim: Simulator) -> None:
    send(sim)
    answer = ask(sim, "getMsg", APIKEY=KEY, ID_MENSAJE=str(sim.ledger()[0].id_mensaje))
    assert answer.endswith('"respuesta":"NULL", "fecha_respuesta":null}')


def test_a_report_is_answered_as_in_the_manuals_sample(sim: Simulator) -> None:
    sim.set(
        delivery_seconds=0,
        reply_seconds=0,
        campaign_id=7,
        campaign_name="CAMPAÑA 2017",
        portfolio="TARJETAHABIENTES",
    )
    send(sim, "5548007276", 'Responda "SI" en su compra de $1,500', ID_REGLA_INTERACTIVA="2")
    send(sim, "5548007277", "adiós")
    first, second = sim.ledger()
    assert ask(sim, "report", **WINDOW) == (
        f'{{"codigo":1,"descripcion":"ok","mensajes":[ {{ "id_mensaje":{first.id_mensaje}, '
        '"telefono":5548007276, "mensaje":"Responda \\"SI\\" en su compra de $1,500", '
        '"fecha_envio":"12-08-2017 17:34:56", "estatus_mensaje":3, "nombre_campania":"CAMPAÑA 2017", '
        '"portafolio":"TARJETAHABIENTES", "fecha_respuesta":"12-08-2017 17:34:56", "respuesta_cliente":"SI" }, '
        f'{{ "id_mensaje":{second.id_mensaje}, "telefono":5548007277, "mensaje":"adiós", '
        '"fecha_envio":"12-08-2017 17:34:56", "estatus_mensaje":3, "nombre_campania":"CAMPAÑA 2017", '
        '"portafolio":"TARJETAHABIENTES", "fecha_respuesta":null, "respuesta_cliente":null } ]}'
    )


def test_credits_go_down_by_one_for_each_150_characters_begun(sim: Simulator) -> None:
    sim.set(balance=10)
    for length in (150, 151, 300, 301):
        send(sim, text="ñ" * length)
    assert [entry.credits for entry in sim.ledger()] == [1, 2, 2, 3]
    assert '"creditos":2}' in ask(sim, "credits", APIKEY=KEY)


def test_a_message_that_the_balance_just_covers_is_accepted(sim: Simulator) -> None:
    assert '"creditosUsados":3' in send(sim, text="x" * 450)
    assert '"codigo": -104' in send(sim)


def test_the_text_arrives_exactly_as_it_was_sent(sim: Simulator) -> None:
    text = " mañana a las 10:30 + 5% & más = ¡listo! \n«fin» 😀"
    send(sim, text=text)
    assert sim.ledger()[0].text == text


def test_get_on_an_endpoint_is_not_allowed(sim: Simulator) -> None:
    answer = requests.get(f"{sim.base_url}/sendMsg.json", timeout=60)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_an_unknown_path_is_an_html_page(sim: Simulator) -> None:
    answer = requests.post(f"{sim.base_url}/otra.json", timeout=60)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")


def test_json_can_be_declared_as_html(sim: Simulator) -> None:
    sim.set(content_type="text/html")
    answer = requests.post(f"{sim.base_url}/credits.json", data={"APIKEY": KEY}, timeout=60)
    assert answer.headers["Content-Type"] == "text/html"


def test_the_date_header_follows_the_simulators_clock(sim: Simulator) -> None:
    answer = requests.post(f"{sim.base_url}/credits.json", timeout=60)
    assert answer.headers["Date"] == "Sat, 12 Aug 2017 22:34:56 GMT"
