"""What a call to SMSClick can end with, as values.

A send ends as `Accepted`, `Refused` or `Unknown`; a query brings a `MessageStatus`, report rows or a number.
`HttpAnswer` and `TransportFailure` are what the transport gives to those who read the answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from smsclick.provider.failures import FailureKind

if TYPE_CHECKING:
    from datetime import datetime

    from smsclick.provider.codes import Action, Estatus

__all__ = [
    "Accepted",
    "HttpAnswer",
    "MessageStatus",
    "Refused",
    "ReportRow",
    "SendResult",
    "TransportFailure",
    "Unknown",
    "UnreadableRow",
]


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A whole HTTP answer. Its body is not judged yet.

    Attributes:
        status: The HTTP status.
        body: The body, decompressed.
        retry_after: Seconds that the answer asked to wait, if it did.
    """

    status: int
    body: bytes
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class TransportFailure:
    """No whole HTTP answer came.

    Attributes:
        reason: What happened, in English, for a person: "the connection was refused", "no answer in time".
        never_left: True only if it is proven that not one byte of the request was sent.
        kind: What happened, for programs.
    """

    reason: str
    never_left: bool
    kind: FailureKind = FailureKind.NETWORK


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider has the message. It must never be sent again.

    Attributes:
        id_mensaje: The provider's id of the message, positive and below 2**63.
        credits_used: What it cost, if the answer says so readably.
        description: `descripcion`, cleaned and redacted.
        fraction: Whether the answer names a part of a credit, which counts as a whole one in `credits_used`.
    """

    id_mensaje: int
    credits_used: int | None
    description: str
    fraction: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider surely does not have the message.

    Attributes:
        code: `codigo`; None when the request provably never left.
        description: `descripcion`, cleaned and redacted; empty when there was no answer.
        action: What may be done about it.
        reason: Why, in English, for a person.
        withheld: The client itself did not send the request, because the caller's `not_after` had passed. This says
            nothing about the provider.
    """

    code: int | None
    description: str
    action: Action
    reason: str
    withheld: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """The provider may or may not have the message; only its report can decide.

    Attributes:
        reason: What was wrong with the answer, in English, for a person.
        code: `codigo`, where one could be read all the same.
        status: The HTTP status, where an answer came.
        retry_after: Seconds that the answer asked to wait, if it did.
    """

    reason: str
    code: int | None = None
    status: int | None = field(default=None, compare=False)
    retry_after: float | None = field(default=None, compare=False)


SendResult = Accepted | Refused | Unknown
"""What became of one `sendMsg`."""


@dataclass(frozen=True, slots=True)
class MessageStatus:
    """What `getMsg` says about one message.

    Attributes:
        estatus: The message's status.
        phone: Ten digits where the provider's number allows it, else its digits; None if it gave none.
        text: `mensaje`, if it gave one.
        fecha_envio: When it was sent, in UTC; None if the date is unreadable.
        reply: What the customer answered (interactive messages only).
        replied_at: When, in UTC.
        description: `descripcion`, cleaned and redacted.
    """

    estatus: Estatus
    phone: str | None
    text: str | None
    fecha_envio: datetime | None
    reply: str | None
    replied_at: datetime | None
    description: str


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One message in a `report`.

    Attributes:
        id_mensaje: The provider's id, positive and below 2**63.
        phone: Ten digits where the provider's number allows it, else its digits.
        text: `mensaje`.
        fecha_envio: When it was sent, in UTC; None if the date is unreadable.
        estatus: The message's status; None if it is not one of the manual's 0 to 4.
        nombre_campania: Name of its campaign, if it has one.
        portafolio: Name of its portfolio, if it has one.
        reply: What the customer answered (interactive messages only).
        replied_at: When, in UTC.
        fecha_envio_later: The other time that the date may mean, an hour after `fecha_envio`, if the clocks of the
            provider's zone showed it twice (the end of summer time); else None.
    """

    id_mensaje: int
    phone: str
    text: str
    fecha_envio: datetime | None
    estatus: Estatus | None
    nombre_campania: str | None
    portafolio: str | None
    reply: str | None
    replied_at: datetime | None
    fecha_envio_later: datetime | None = None


@dataclass(frozen=True, slots=True)
class UnreadableRow:
    """A row of a `report` that does not show which message it is about. It proves only that a row is there.

    Attributes:
        id_mensaje: The provider's id, if it could be read.
        why: What is wrong with it, in English, without phone or text.
        fecha_envio: When it was sent, in UTC, if that could be read.
        phone: Digits, as in `ReportRow`, if they could be read.
    """

    id_mensaje: int | None
    why: str
    fecha_envio: datetime | None = None
    phone: str | None = field(default=None, repr=False)
