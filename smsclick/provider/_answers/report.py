"""The answer of `report`: its rows, and each row as a value. `report_stream` reads the same from pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smsclick.provider._answers import fields
from smsclick.provider._answers.body_text import decode, unquote
from smsclick.provider._answers.dates import later_reading, parse_date
from smsclick.provider._answers.json_body import JsonObject, parse_object
from smsclick.provider._answers.query import raise_unreadable, require_accepted
from smsclick.provider.results import HttpAnswer, ReportRow, UnreadableRow

if TYPE_CHECKING:
    from collections.abc import Iterable
    from zoneinfo import ZoneInfo


def parse_report(answer: HttpAnswer, zone: ZoneInfo, *, hide: Iterable[str] = ()) -> list[ReportRow | UnreadableRow]:
    """Read the answer of `report` (manual: "API Reporte").

    Args:
        answer: The HTTP answer.
        zone: The zone of the provider's dates.
        hide: Words that must not appear in a description even if the provider echoes them.

    Returns:
        The rows in the provider's order; none if `mensajes` is null or empty. A row that cannot be read comes as an
        `UnreadableRow`: it does not make the other rows less true.

    Raises:
        ProviderRefused: The answer carries another code than 1.
        UnreadableAnswer: It is no such answer.
    """
    reply = require_accepted(parse_object(unquote(decode(answer.body))), answer, hide)
    return [report_row(row, zone) for row in report_list(reply, answer)]


def report_list(reply: JsonObject, answer: HttpAnswer) -> list[object]:
    """Return a report's `mensajes`; null counts as none.

    Args:
        reply: The report's object.
        answer: Its HTTP answer.

    Raises:
        UnreadableAnswer: There is no such list.
    """
    if "mensajes" not in reply.fields:
        raise_unreadable(answer, "a report without mensajes")
    rows = reply.get("mensajes")
    if rows is not None and not isinstance(rows, list):
        raise_unreadable(answer, "a report whose mensajes is not a list")
    return rows or []


def report_row(row: object, zone: ZoneInfo) -> ReportRow | UnreadableRow:
    """Return a row of a report as a value.

    Args:
        row: One entry of `mensajes`.
        zone: The zone of the provider's dates.

    Returns:
        An `UnreadableRow` if the entry lacks what identifies a message, or leaves it in doubt.
    """
    if not isinstance(row, JsonObject):
        return UnreadableRow(None, "it is no object")
    if row.repeated:
        return UnreadableRow(None, "a name comes twice")
    id_mensaje = fields.read_id(row.get("idmensaje"))
    phone = fields.read_phone(row.get("telefono"))
    text = fields.read_text(row.get("mensaje"))
    sent_at = parse_date(row.get("fechaenvio"), zone)
    if id_mensaje is None or phone is None or text is None:
        found = (("id_mensaje", id_mensaje), ("telefono", phone), ("mensaje", text))
        why = f"no readable {' and '.join(name for name, value in found if value is None)}"
        return UnreadableRow(id_mensaje, why, sent_at, phone)
    return ReportRow(
        id_mensaje=id_mensaje,
        phone=phone,
        text=text,
        fecha_envio=sent_at,
        estatus=fields.read_estatus(row.get("estatusmensaje")),
        nombre_campania=fields.read_optional_text(row.get("nombrecampania")),
        portafolio=fields.read_optional_text(row.get("portafolio")),
        reply=fields.read_optional_text(row.get("respuestacliente")),
        replied_at=parse_date(row.get("fecharespuesta"), zone),
        fecha_envio_later=None if sent_at is None else later_reading(sent_at, zone),
    )
