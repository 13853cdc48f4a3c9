"""The four endpoints, word for word as in SMSClick's manual.

Each function takes the fields of the form and returns `(codigo, body)`. The bodies of errors are the samples of the
manual, with the same spaces. The manual leaves two details open. If several things are wrong with one request, the
answer has the first code in the order of the manual; but the balance (-104) is checked last, for a message that is
otherwise good. And a text of only white space counts as empty.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from html import escape
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from smsclick.simulator.account import Account
from smsclick.simulator.answers import Body
from smsclick.simulator.faults import Endpoint
from smsclick.simulator.messages import MAIN, Message
from smsclick.simulator.rows import ROWS_PER_PART, given_date, given_phone, given_text, quote, report_parts
from smsclick.simulator.settings import CreditsForm

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


def parse_form(body: bytes) -> dict[str, str]:
    """Return the fields of a form-encoded body; a field given twice has its last value, as in PHP."""
    form = {}
    for pair in body.decode("utf-8", "replace").split("&"):
        name, _, value = pair.partition("=")
        if "+" in value:
            value = value.replace("+", " ")
        form[name] = unquote(value) if "%" in value else value
    return form


def refusal(endpoint: Endpoint, code: int) -> bytes:
    """Return the body of an error: the manual's sample, or one of the same form for other codes."""
    known = _ERRORS[endpoint].get(code)
    if known is not None:
        return known
    nulls = {"sendMsg": "", "getMsg": f", {_GET_NULLS}"}.get(endpoint, ', "mensajes":null')
    description = "Saldo insuficiente" if code == -104 else "Error no documentado"
    return f'{{"codigo":{code}, "descripcion":"{description}"{nulls}}}'.encode()


def echoed(body: Body, form: Form) -> Body:
    """Return the body of an error with the whole form in it, as a web server in debug mode does."""
    if not isinstance(body, bytes):
        return body
    fields = " ".join(f"{name}={value}" for name, value in form.items())
    if body.startswith(b"{"):
        start = b'"descripcion":"'
        return body.replace(start, start + quote(fields)[1:-1].encode() + b": ", 1)
    return body.replace(b"</body>", f"<pre>{escape(fields)}</pre></body>".encode(), 1)


def send(account: Account, form: Form) -> Reply:
    """`sendMsg.json`: accept a message into the ledger, or return why not."""
    code = _key_problem(account, form) or _message_problem(account, form)
    if code:
        return code, refusal("sendMsg", code)
    message = account.accept(*_wanted(account, form))
    if message is None:
        return -104, refusal("sendMsg", -104)
    return 1, (
        b'{"codigo":1, "descripcion":"Mensaje enviado", "id_mensaje":%d, "creditosUsados":%d}'
        % (message.id_mensaje, message.credits)
    )


def send_later(account: Account, form: Form, seconds: float) -> None:
    """`sendMsg.json` that a gateway gave up: a valid message is accepted so many seconds from now."""
    if not _key_problem(account, form) and not _message_problem(account, form):
        account.accept_later(seconds, *_wanted(account, form))


def get(account: Account, form: Form) -> Reply:
    """`getMsg.json`: one message in its present state."""
    code = _key_problem(account, form)
    id_mensaje = form.get("ID_MENSAJE", "").strip()
    if not code and not _is_number(id_mensaje):
        code = -200
    message = None if code else account.find(int(id_mensaje), _account(account, form))
    if message is None:
        return code or -201, refusal("getMsg", code or -201)
    now, settings = account.now(), account.settings
    # The manual: without a reply `respuesta` is the text "NULL". It does not define the date then.
    reply, reply_date = '"NULL"', "null"
    answered = message.reply(now)
    if answered:
        reply, reply_date = quote(answered[0]), given_date(answered[1], settings)
    body = (
        f'{{"codigo":1, "descripcion":"ok", "estatus_mensaje":{message.estatus(now)}, '
        f'"telefono":{given_phone(message.phone, settings)}, "mensaje":{given_text(message.text, settings)}, '
        f'"fecha_envio":{given_date(message.accepted_at, settings)}, '
        f'"respuesta":{reply}, "fecha_respuesta":{reply_date}}}'
    )
    return 1, body.encode()


def report(account: Account, form: Form) -> Reply:
    """`report.json`: the messages from the first to the last second of a window that the report shows by now."""
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
    messages = _span(account, form, start, end)
    if campaign:
        messages = [message for message in messages if message.settings.campaign_id == int(campaign)]
    wanted = frozenset(int(status) for status in statuses.split(",")) if statuses else None
    now = account.now()
    middle = (start[0] + max(start[0], min(end[1], now + settings.date_shift))) / 2 - settings.date_shift
    parts = report_parts(messages, middle, wanted, now, settings)
    return 1, parts if len(messages) > ROWS_PER_PART else b"".join(parts)


def credit(account: Account, form: Form) -> Reply:
    """`credits.json`: the balance."""
    code = _key_problem(account, form)
    if code:
        return code, refusal("credits", code)
    shown = _credits(account.shown_balance(_account(account, form)), account.settings.credits_form)
    return 1, f'{{"codigo":1, "descripcion":"ok", "creditos":{shown}}}'.encode()


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
    return -101 if account.of_key(key) is None else 0


def _account(account: Account, form: Form) -> int:
    found = account.of_key(form.get("APIKEY", ""))
    return MAIN if found is None else found


def _wanted(account: Account, form: Form) -> tuple[str, str, str | None, int]:
    rule_id = form.get("ID_REGLA_INTERACTIVA") or None
    return form["TELEFONO"], form["MENSAJE"], rule_id, _account(account, form)


def _credits(balance: int, form: CreditsForm) -> str:
    match form:
        case "whole":
            return str(balance)
        case "decimal":
            return f"{balance}.00"
        case "commas":
            return f'"{balance:,}.00"'
        case "text":
            return f'"{balance}"'
        case "words":
            return '"suficientes"'


def _span(account: Account, form: Form, start: tuple[int, int], end: tuple[int, int]) -> Sequence[Message]:
    """Return the messages whose date, as the provider writes it, is from one date to another.

    In an hour that the clocks show twice, a date stands for two times. The provider compares written dates, so a
    message of either time is in the span.
    """
    settings = account.settings
    shift = settings.date_shift
    messages = account.window(start[0] - shift, end[1] + 1 - shift, _account(account, form))
    if start[0] == start[1] and end[0] == end[1]:
        return messages
    zone = settings.timezone
    first, last = (datetime.fromtimestamp(bound, zone).replace(tzinfo=None) for bound in (start[0], end[1]))

    def date(message: Message) -> datetime:
        return datetime.fromtimestamp(int(message.accepted_at + shift), zone).replace(tzinfo=None)

    return [message for message in messages if first <= date(message) <= last]


def _message_problem(account: Account, form: Form) -> int:
    phone = form.get("TELEFONO", "")
    if len(phone) != 10 or not _is_number(phone):
        return -102
    if not form.get("MENSAJE", "").strip():
        return -103
    rule_id = form.get("ID_REGLA_INTERACTIVA")
    return -105 if rule_id and rule_id not in account.settings.rules else 0


def _is_number(text: str) -> bool:
    """Return whether the text is an unsigned number, and not one that `int` refuses for its length."""
    return text.isascii() and text.isdigit() and len(text) < 4000


def _parse_date(text: str, zone: ZoneInfo) -> tuple[int, int] | None:
    """Return the first and the last time that a date can mean; they differ in an hour that the clocks show twice."""
    parts = _DATE.fullmatch(text.strip())
    if parts is None:
        return None
    day, month, year, hour, minute, second = (int(part) for part in parts.groups())
    try:
        parsed = datetime(year, month, day, hour, minute, second, tzinfo=zone)
        readings = int(parsed.timestamp()), int(parsed.replace(fold=1).timestamp())
        return min(readings), max(readings)
    except (ValueError, OverflowError):
        return None
