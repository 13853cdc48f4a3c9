"""Write a message as the provider shows it: dates, phones, texts, and the rows of a report, also odd ones."""

import unicodedata
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from json import JSONEncoder
from zoneinfo import ZoneInfo

from smsclick.simulator.messages import CHARACTERS_PER_CREDIT, Message
from smsclick.simulator.settings import OddRow, SimulatorSettings

ROWS_PER_PART = 500
"""The number of rows in a part of a long report."""

quote = JSONEncoder(ensure_ascii=False).encode
"""Write a text as JSON."""

_OTHERS_TEXT = "Aviso de otro sistema"
_OTHERS_IDS = 900_000_000_000_000
_ODD_ESTATUS = 7
_NO_DATE = '"ayer por la tarde"'


def report_parts(
    messages: Sequence[Message], middle: float, wanted: frozenset[int] | None, now: float, settings: SimulatorSettings
) -> Iterator[bytes]:
    """Yield the body in parts, so that the report of a whole day blocks others only for the time of one part.

    Args:
        messages: The messages of the span, in order of time.
        middle: Epoch seconds in the middle of the span: the date of other systems' rows.
        wanted: The estatus that the report is asked for; None is all.
        now: Epoch seconds.
        settings: How the provider shows messages.
    """
    if settings.report_cap is not None:
        messages = _capped([each for each in messages if wanted is None or each.estatus(now) in wanted], settings)
    opening, separator = '{"codigo":1,"descripcion":"ok","mensajes":[ ', ""
    odd = [_row_of_others(kind, middle, settings) for kind in settings.odd_rows]
    for first in range(0, len(messages), ROWS_PER_PART):
        rows = [
            _row(message, now, settings)
            for message in messages[first : first + ROWS_PER_PART]
            if wanted is None or message.estatus(now) in wanted
        ]
        if rows:
            yield f"{opening}{separator}{', '.join(rows)}".encode()
            opening, separator = "", ", "
    if odd:
        yield f"{opening}{separator}{', '.join(odd)}".encode()
        opening = ""
    yield f"{opening} ]}}".encode()


def given_text(text: str, settings: SimulatorSettings) -> str:
    """Return a text as JSON, in the form in which the provider returns it."""
    match settings.text_form:
        case "exact":
            kept = text
        case "ascii":
            kept = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
        case "collapsed":
            kept = " ".join(text.split())
        case "cut":
            kept = text[:CHARACTERS_PER_CREDIT]
    return quote(f"{settings.text_prefix}{kept}{settings.text_suffix}")


def given_phone(phone: str, settings: SimulatorSettings) -> str:
    """Return a phone as JSON: a number, or a text if it is masked."""
    hidden = settings.phone_mask
    return f'"{"X" * hidden}{phone[hidden:]}"' if hidden else str(int(phone))


def given_date(at: float, settings: SimulatorSettings) -> str:
    """Return a time as JSON: a date by the provider's clock."""
    return f'"{_date_of_second(int(at + settings.date_shift), settings.timezone)}"'


def _capped(messages: list[Message], settings: SimulatorSettings) -> list[Message]:
    ordered = messages[::-1] if settings.report_cap_first == "newest" else messages
    return ordered[: settings.report_cap]


def _row(message: Message, now: float, settings: SimulatorSettings) -> str:
    reply, reply_date = "null", "null"
    answered = message.reply(now)
    if answered:
        reply, reply_date = quote(answered[0]), given_date(answered[1], settings)
    odd = settings.odd_form if message.chance < settings.odd_rate else None
    return _written(
        odd,
        message.id_mensaje,
        given_phone(message.phone, settings),
        given_text(message.text, settings),
        given_date(message.accepted_at, settings),
        message.estatus(now),
        f'"nombre_campania":{_optional(message.settings.campaign_name)}, '
        f'"portafolio":{_optional(message.settings.portfolio)}, '
        f'"fecha_respuesta":{reply_date}, "respuesta_cliente":{reply}',
    )


def _row_of_others(kind: OddRow, at: float, settings: SimulatorSettings) -> str:
    id_mensaje = _OTHERS_IDS + int(at) * 10 + settings.odd_rows.index(kind)
    phone = given_phone(settings.others_phone, settings)
    text, date = given_text(_OTHERS_TEXT, settings), given_date(at, settings)
    return _written(
        kind, id_mensaje, phone, text, date, 3, '"nombre_campania":"Panel", "portafolio":null, "fecha_respuesta":null'
    )


def _written(odd: OddRow | None, id_mensaje: int, phone: str, text: str, date: str, estatus: int, rest: str) -> str:
    shown_id = str(id_mensaje)
    match odd:
        case "estatus":
            estatus = _ODD_ESTATUS
        case "null_text":
            text = "null"
        case "null_phone":
            phone = "null"
        case "bad_date":
            date = _NO_DATE
        case "null_date":
            date = "null"
        case "decimal_id":
            shown_id = f"{id_mensaje}.0"
        case "panel" | None:
            pass
    return (
        f'{{ "id_mensaje":{shown_id}, "telefono":{phone}, "mensaje":{text}, '
        f'"fecha_envio":{date}, "estatus_mensaje":{estatus}, {rest} }}'
    )


def _optional(text: str | None) -> str:
    return "null" if text is None else quote(text)


@lru_cache(maxsize=65_536)
def _date_of_second(second: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(second, zone).strftime("%d-%m-%Y %H:%M:%S")
