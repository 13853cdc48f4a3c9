"""The answers of the provider's manual, for tests of what reads them."""

from __future__ import annotations

import json
from zoneinfo import ZoneInfo

from smsclick.provider.results import HttpAnswer

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
