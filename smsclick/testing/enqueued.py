"""A message as a test reads it."""

import dataclasses
import datetime as dt
from typing import Any

import sqlalchemy as sa

from smsclick.contract import IfAbsent, Priority, State, messages


@dataclasses.dataclass(frozen=True, slots=True)
class Enqueued:
    """A message as it was stored: the phone as ten digits, times in UTC."""

    id: int
    key: str
    phone: str
    text: str
    send_at: dt.datetime | None
    expires_at: dt.datetime | None
    priority: Priority
    rule_id: str | None
    if_absent: IfAbsent
    callback: str | None
    reference: str | None
    state: State


COLUMNS = [messages.c[field.name] for field in dataclasses.fields(Enqueued)]


def enqueued(row: sa.Row[Any]) -> Enqueued:
    """Return the message of a row of `COLUMNS`."""
    values = row._asdict()
    return Enqueued(
        **values
        | {
            "priority": Priority(values["priority"]),
            "if_absent": IfAbsent(values["if_absent"]),
            "state": State(values["state"]),
        }
    )
