"""Every `codigo` and `estatus_mensaje` of SMSClick's manual, as data.

The manual lists the codes in the samples of each of its four calls; all of them are rows of `CODES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

__all__ = ["ACCEPTED", "CODES", "Action", "Code", "Estatus", "Fault", "lookup"]

ACCEPTED: Final = 1
"""The one `codigo` that means success, in all four calls."""


class Fault(StrEnum):
    """Who has to change something before the call can succeed."""

    MESSAGE = "message"
    """This message: its phone, text or rule. Others are not affected."""
    ACCOUNT = "account"
    """The account: its key or its balance. Every message is affected."""
    QUERY = "query"
    """A parameter of `getMsg` or `report`."""
    NONE = "none"
    """Nothing, or unknown: success, and codes that the manual does not list."""


class Action(StrEnum):
    """What may be done about a `sendMsg` that was refused with this code."""

    FAIL = "fail"
    """Refused permanently: the same message would be refused again."""
    HOLD_NO_BALANCE = "hold_no_balance"
    """The account stops until there is balance; the message waits."""
    HOLD_KEY = "hold_key"
    """The account stops until its key works; the message waits."""
    RETRY = "retry"
    """Refused for now: send again, with growing waits and a bounded number of times."""
    NONE = "none"
    """The message was not refused. Only code 1 has this action, so a `Refused` never does."""


@dataclass(frozen=True, slots=True)
class Code:
    """One `codigo`.

    Attributes:
        code: The number.
        meaning: What it means, in English.
        fault: Who has to change something.
        action: What may be done about a send that was refused with it.
    """

    code: int
    meaning: str
    fault: Fault
    action: Action


CODES: Final[tuple[Code, ...]] = (
    Code(ACCEPTED, "accepted", Fault.NONE, Action.NONE),
    Code(-100, "the APIKEY is missing", Fault.ACCOUNT, Action.HOLD_KEY),
    Code(-101, "the APIKEY is wrong", Fault.ACCOUNT, Action.HOLD_KEY),
    Code(-102, "TELEFONO is not a valid number", Fault.MESSAGE, Action.FAIL),
    Code(-103, "MENSAJE is empty", Fault.MESSAGE, Action.FAIL),
    Code(-104, "the account has no balance", Fault.ACCOUNT, Action.HOLD_NO_BALANCE),
    Code(-105, "ID_REGLA_INTERACTIVA does not exist", Fault.MESSAGE, Action.FAIL),
    # Codes of getMsg and report. From sendMsg they would be a surprise, so they do not fail the message.
    Code(-200, "ID_MENSAJE is not a valid number", Fault.QUERY, Action.RETRY),
    Code(-201, "ID_MENSAJE does not exist", Fault.QUERY, Action.RETRY),
    Code(-300, "FECHA_INICIO is empty or has a wrong format", Fault.QUERY, Action.RETRY),
    Code(-301, "FECHA_FIN is empty or has a wrong format", Fault.QUERY, Action.RETRY),
    Code(-302, "ESTATUS_MENSAJE has a wrong format", Fault.QUERY, Action.RETRY),
    Code(-303, "ID_CAMPANIA has a wrong format", Fault.QUERY, Action.RETRY),
)
"""The table. One row for each code that the manual lists."""

_BY_NUMBER: Final = {row.code: row for row in CODES}


def lookup(code: int) -> Code:
    """Return the row of a code.

    Args:
        code: Any `codigo`.

    Returns:
        Its row in `CODES`; for a code that the manual does not list, a row that says so, with `Action.RETRY`.
    """
    return _BY_NUMBER.get(code) or Code(code, "a code that the manual does not list", Fault.NONE, Action.RETRY)


class Estatus(IntEnum):
    """`estatus_mensaje`, with the manual's names ("API Estatus de mensajes enviados")."""

    PENDIENTE = 0
    """Pendiente de envío."""
    EN_PROCESO = 1
    """En proceso de envío."""
    ENVIADO = 2
    """Enviado: passed to the carrier."""
    RECIBIDO = 3
    """Recibido: on the phone. Final."""
    RECHAZADO = 4
    """Rechazado. Final."""

    @property
    def final(self) -> bool:
        """Whether the provider will not change it again."""
        return self in (Estatus.RECIBIDO, Estatus.RECHAZADO)
