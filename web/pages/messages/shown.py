"""What of a message a role may see. Templates get messages only through these values."""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Any

from smsclick._values import harmless
from smsclick._values.phones import normalize_phone
from smsclick.contract import State
from smsclick.errors import InvalidPhone
from web.pages.masking import Sight, masked


@dataclasses.dataclass(frozen=True, slots=True)
class Veil:
    """Shows values of one message: without characters that act, and without its phone for a viewer.

    Attributes:
        sight: of the person.
        phone: of the message, as it is stored.
    """

    sight: Sight
    phone: str = dataclasses.field(repr=False)

    def __call__(self, value: object) -> str:
        """Return a value that others wrote: a key, a reference, a description."""
        text = "" if value is None else harmless.for_terminal(str(value))
        if self.sight.full:
            return text
        for form in sorted(_forms(self.phone), key=len, reverse=True):
            text = text.replace(form, masked(form))
        return text

    def secret(self, value: object) -> str | None:
        """Return a text or a reply; None where this role may not see it."""
        return None if not self.sight.full else "" if value is None else harmless.for_terminal(str(value))


def _forms(phone: str) -> set[str]:
    """A phone as it is stored, and its ten digits; a producer's key may hold either."""
    try:
        return {phone, normalize_phone(phone)} if phone else set()
    except InvalidPhone:
        return {phone}


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One message of the list."""

    id: int
    state: str
    phone: str
    key: str
    reference: str
    text: str | None = dataclasses.field(repr=False)
    created_at: dt.datetime | None
    id_mensaje: str
    code: str


def line(record: Mapping[str, Any], sight: Sight) -> Line:
    """Return a message of the list as a role may see it.

    Args:
        record: by the contract's field names.
        sight: of the person.
    """
    phone = str(record["phone"] or "")
    veil = Veil(sight, phone)
    created_at = record["created_at"]
    return Line(
        id=record["id"],
        state=state_of(record["state"]),
        phone=sight.phone(harmless.for_terminal(phone)),
        key=veil(record["key"]),
        reference=veil(record["reference"]),
        text=veil.secret(record["text"]),
        created_at=created_at if isinstance(created_at, dt.datetime) else None,
        id_mensaje=veil(record["id_mensaje"]),
        code=veil(record["last_code"]),
    )


def state_of(value: object) -> str:
    """Return a state that there is; an odd row may hold any value."""
    return str(value) if value in set(State) else "unknown"
