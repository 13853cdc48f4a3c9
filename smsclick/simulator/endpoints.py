"""The four endpoints, word for word as in SMSClick's manual.

Each function takes the form's fields and gives back `(codigo, body)`. The bodies of errors are the manual's
own samples, down to their spaces. Two details the manual leaves open: of several things wrong with one
request the first in the order of the codes is told, except that the balance (-104) is looked at last, when
the message is otherwise good; and a text of nothing but white space counts as empty.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from json import JSONEncoder
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from smsclick.simulator.answers import Body
from smsclick.simulator.faults import Endpoint
from smsclick.simulator.settings import SimulatorSettings
from smsclick.simulator.state import CHARACTERS_PER_CREDIT, Account, Message

Reply = tuple[int, Body]
Form = Mapping[str, str]

_SEND_ERRORS = {
    -100: '{"codigo": -100, "descripcion":"Parámetro APIKEY no definido"}',
    -101: '{"codigo": -101, "descripcion":"APIKEY incorrecta"}',
    -102: '{"codigo": -102, "descripcion":"Parametro TELEFONO no valido"}',
    -103: '{"codigo": -103, "descripcion":"Parametro MENSAJE vacio"}',
    -104: '{"codigo": -104, "descripcion":"Saldo insuficiente"}',
    -105: '{"codigo": -105, "descripcion":"El valor ID_REGLA_INTERACTIVA no existe"}',
}
_GET_NULLS = '"estatus_mensaje":null, "fecha_recepcion":null, "respuesta":null'
_GET_ERRORS = {
    -100: f'{{"codigo":-100, "descripcion":"Apikey no definida", {_GET_NULLS}}}',
    -101: f'{{"codigo":-101, "descripcion":"Apikey incorrecta", {_GET_NULLS}}}',
    -200: f'{{"codigo":-200, "descripcion":"Identificador de mensaje no válido", {_GET_NULLS}}}',
    -201: f'{{"codigo":-201, "descripcion":"Identificador de mensaje no existe", {_GET_NULLS}}}',
}
_REPORT_ERRORS = {
    code: f'{{"codigo":{code}, "descripcion":"{description}", "mensajes":null}}'
    for code, description in {
        -100: "Apikey no definida",
        -101: "Apikey incorrecta",
        -300: "Parametro FECHA_INICIO vacío o formato incorrecto",
        -301: "Parametro FECHA_FIN vacío formato incorrecto",
        -302: "Parametro ESTATUS_MENSAJE formato incorrecto",
        -303: "Parametro ID_CAMPANIA formato incorrecto",
    }.items()
}
# The manual's sample of `credits` really has "mensajes" here.
_CREDITS_ERRORS = {code: _REPORT_ERRORS[code] for code in (-100, -101)}

_ERRORS: dict[Endpoint, dict[int, bytes]] = {
    "sendMsg": {code: body.encode() for code, body in _SEND_ERRORS.items()},
    "getMsg": {code: body.encode() for code, body in _GET_ERRORS.items()},
    "report": {code: body.encode() for code, body in _REPORT_ERRORS.items()},
    "credits": {code: body.encode() for code, body in _CREDITS_ERRORS.items()},
}

_DATE = re.compile(r"(\d\d)-(\d\d)-(\d{4}) (\d\d):(\d\d):(\d\d)", re.ASCII)
_STATUSES = re.compile(r"[0-4](\s*,\s*[0-4])*", re.ASCII)
_ROWS_PER_PART = 500
_quote = JSONEncoder(ensure_ascii=False).encode


def parse_form(body: bytes) -> dict[str, str]:
    """The fields of a form-encoded body; a field given twice has its last value, as in PHP."""
    form = {}
    for pair in body.decode("utf-8", "replace").split("&"):
        name, _, value = pair.partition("=")
        if "+" in value:
            value = value.replace("+", " ")
        form[name] = unquote(value) if "%" in value else value
    return form


def refusal(endpoint: Endpoint, code: int) -> bytes:
    """The body of an error: the manual's sample, or for other codes one of the same shape."""
    known = _ERRORS[endpoint].get(code)
    if known is not None:
        return known
    nulls = {"sendMsg": "", "getMsg": f", {_GET_NULLS}"}.get(endpoint, ', "mensajes":null')
    description = "Saldo insuficiente" if code == -104 else "Error no documentado"
    return f'{{"codigo":{code}, "descripcion":"{description}"{nulls}}}'.encode()


def send(account: Account, form: Form) -> Reply:
    """`sendMsg.json`: accepts a message into the ledger, or says why not."""
    code = _key_problem(account, form) or _message_problem(account, form)
    if code:
        return code, refusal("sendMsg", code)
    message = account.accept(form["TELEFONO"], form["MENSAJE"], form.get("ID_REGLA_INTERACTIVA") or None)
    if message is None:
        return -104, refusal("sendMsg", -104)
    return 1, (
        b'{"codigo":1, "descripcion":"Mensaje enviado", "id_mensaje":%d, "creditosUsados":%d}'
        % (message.id_mensaje, message.credits)
    )


def get(account: Account, form: Form) -> Reply:
    """`getMsg.json`: one message as it stands now."""
    code = _key_problem(account, form)
    id_mensaje = form.get("ID_MENSAJE", "").strip()
    if not code and not _is_number(id_mensaje):
        code = -200
    message = None if code else account.find(int(id_mensaje))
    if message is None:
        return code or -201, refusal("getMsg", code or -201)
    now, settings = account.now(), account.settings
    # The manual: without a reply `respuesta` is the text "NULL". It says nothing of its date.
    reply, reply_date = '"NULL"', "null"
    answered = message.reply(now)
    if answered:
        reply, reply_date = _quote(answered[0]), f'"{_date(answered[1], settings.timezone)}"'
    body = (
        f'{{"codigo":1, "descripcion":"ok", "estatus_mensaje":{message.estatus(now)}, '
        f'"telefono":{int(message.phone)}, "mensaje":{_quote(_given_back(message.text, settings))}, '
        f'"fecha_envio":"{_date(message.accepted_at, settings.timezone)}", '
        f'"respuesta":{reply}, "fecha_respuesta":{reply_date}}}'
    )
    return 1, body.encode()


def report(account: Account, form: Form) -> Reply:
    """`report.json`: the messages of a window, both of its seconds included, that the report shows by now."""
    settings = account.settings
    start = _parse_date(form.get("FECHA_INICIO", ""), settings.timezone)
    end = _parse_date(form.get("FECHA_FIN", ""), settings.timezone)
    statuses = form.get("ESTATUS_MENSAJE", "").strip()
    campaign = form.get("ID_CAMPANIA", "").strip()
    code = _key_problem(account, form)
    if code:
        return code, refusal("report", code)
    if start is None:
        return -300, refusal("report", -300)
    if end is None:
        return -301, refusal("report", -301)
    if statuses and not _STATUSES.fullmatch(statuses):
        return -302, refusal("report", -302)
    if campaign and not _is_number(campaign):
        return -303, refusal("report", -303)
    messages = account.window(start, end + 1)
    if campaign:
        messages = [message for message in messages if message.settings.campaign_id == int(campaign)]
    wanted = frozenset(int(status) for status in statuses.split(",")) if statuses else None
    parts = _report_parts(messages, wanted, account.now(), settings)
    return 1, parts if len(messages) > _ROWS_PER_PART else b"".join(parts)


def credit(account: Account, form: Form) -> Reply:
    """`credits.json`: the balance."""
    code = _key_problem(account, form)
    if code:
        return code, refusal("credits", code)
    return 1, b'{"codigo":1, "descripcion":"ok", "creditos":%d}' % account.balance


ROUTES: dict[bytes, tuple[Endpoint, Callable[[Account, Form], Reply]]] = {
    b"/sms-services/sendMsg.json": ("sendMsg", send),
    b"/sms-services/getMsg.json": ("getMsg", get),
    b"/sms-services/report.json": ("report", report),
    b"/sms-services/credits.json": ("credits", credit),
}


def _key_problem(account: Account, form: Form) -> int:
    key = form.get("APIKEY")
    if not key:
        return -100
    return 0 if key == account.settings.api_key else -101


def _message_problem(account: Account, form: Form) -> int:
    phone = form.get("TELEFONO", "")
    if len(phone) != 10 or not _is_number(phone):
        return -102
    if not form.get("MENSAJE", "").strip():
        return -103
    rule_id = form.get("ID_REGLA_INTERACTIVA")
    return -105 if rule_id and rule_id not in account.settings.rules else 0


def _is_number(text: str) -> bool:
    """Whether it is an unsigned number of plain digits, and none that `int` would refuse for its length."""
    return text.isascii() and text.isdigit() and len(text) < 4000


def _report_parts(
    messages: Sequence[Message], wanted: frozenset[int] | None, now: float, settings: SimulatorSettings
) -> Iterator[bytes]:
    """The body in parts, so that a report of a whole day stops nobody else for longer than a part takes."""
    opening, separator = '{"codigo":1,"descripcion":"ok","mensajes":[ ', ""
    for first in range(0, len(messages), _ROWS_PER_PART):
        rows = [
            _row(message, now, settings)
            for message in messages[first : first + _ROWS_PER_PART]
            if wanted is None or message.estatus(now) in wanted
        ]
        if rows:
            yield f"{opening}{separator}{', '.join(rows)}".encode()
            opening, separator = "", ", "
    yield f"{opening} ]}}".encode()


def _row(message: Message, now: float, settings: SimulatorSettings) -> str:
    reply, reply_date = "null", "null"
    answered = message.reply(now)
    if answered:
        reply, reply_date = _quote(answered[0]), f'"{_date(answered[1], settings.timezone)}"'
    return (
        f'{{ "id_mensaje":{message.id_mensaje}, "telefono":{int(message.phone)}, '
        f'"mensaje":{_quote(_given_back(message.text, settings))}, '
        f'"fecha_envio":"{_date(message.accepted_at, settings.timezone)}", '
        f'"estatus_mensaje":{message.estatus(now)}, '
        f'"nombre_campania":{_optional(message.settings.campaign_name)}, '
        f'"portafolio":{_optional(message.settings.portfolio)}, '
        f'"fecha_respuesta":{reply_date}, "respuesta_cliente":{reply} }}'
    )


def _optional(text: str | None) -> str:
    return "null" if text is None else _quote(text)


def _given_back(text: str, settings: SimulatorSettings) -> str:
    match settings.text_form:
        case "exact":
            return text
        case "ascii":
            return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
        case "collapsed":
            return " ".join(text.split())
        case "cut":
            return text[:CHARACTERS_PER_CREDIT]


def _date(moment: float, zone: ZoneInfo) -> str:
    return _date_of_second(int(moment), zone)


@lru_cache(maxsize=65_536)
def _date_of_second(second: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(second, zone).strftime("%d-%m-%Y %H:%M:%S")


def _parse_date(text: str, zone: ZoneInfo) -> int | None:
    parts = _DATE.fullmatch(text.strip())
    if parts is None:
        return None
    day, month, year, hour, minute, second = (int(part) for part in parts.groups())
    try:
        return int(datetime(year, month, day, hour, minute, second, tzinfo=zone).timestamp())
    except (ValueError, OverflowError):
        return None
