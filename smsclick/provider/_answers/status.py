"""The answer of `getMsg`: one message's status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smsclick.provider._answers import fields
from smsclick.provider._answers.body_text import decode
from smsclick.provider._answers.dates import parse_date
from smsclick.provider._answers.json_body import parse_object
from smsclick.provider._answers.query import raise_unreadable, require_accepted
from smsclick.provider.results import HttpAnswer, MessageStatus

if TYPE_CHECKING:
    from collections.abc import Iterable
    from zoneinfo import ZoneInfo


def parse_status(answer: HttpAnswer, zone: ZoneInfo, *, hide: Iterable[str] = ()) -> MessageStatus:
    """Read the answer of `getMsg` (manual: "API Estatus de mensajes enviados").

    Args:
        answer: The HTTP answer.
        zone: The zone of the provider's dates.
        hide: Words that must not appear in a description even if the provider echoes them.

    Returns:
        The message's status.

    Raises:
        ProviderRefused: The answer carries another code than 1.
        UnreadableAnswer: It is no such answer, or its `estatus_mensaje` is not one of 0 to 4.
    """
    reply = require_accepted(parse_object(decode(answer.body)), answer, hide)
    estatus = fields.read_estatus(reply.get("estatusmensaje"))
    if estatus is None:
        raise_unreadable(answer, "estatus_mensaje is not one of 0 to 4")
    return MessageStatus(
        estatus=estatus,
        phone=fields.read_phone(reply.get("telefono")),
        text=fields.read_text(reply.get("mensaje")),
        fecha_envio=parse_date(reply.get("fechaenvio"), zone),
        reply=fields.read_optional_text(reply.get("respuesta")),
        replied_at=parse_date(reply.get("fecharespuesta"), zone),
        description=fields.read_description(reply.get("descripcion"), hide),
    )
