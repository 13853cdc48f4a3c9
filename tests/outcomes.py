"""Answers of the provider, as the tests of the lifecycle use them."""

from __future__ import annotations

import datetime as dt
import random

from smsclick.provider.codes import Action, Estatus, lookup
from smsclick.provider.results import Accepted, MessageStatus, Refused

RNG = random.Random(0)
ACCEPTED = Accepted(id_mensaje=7, credits_used=2, description="Mensaje enviado")
UNREACHABLE = Refused(None, "", Action.RETRY, "the connection was refused; the request never left")


def seconds(value: float) -> dt.timedelta:
    return dt.timedelta(seconds=value)


def refused(code: int) -> Refused:
    return Refused(code, "dicho por el proveedor", lookup(code).action, lookup(code).meaning)


def status(estatus: int, reply: str | None = None, replied_at: dt.datetime | None = None) -> MessageStatus:
    return MessageStatus(Estatus(estatus), "5551402211", "hola", None, reply, replied_at, "ok")
