"""A message as the state machine knows it: which state may follow which, and why. Values only."""

import dataclasses
import datetime as dt
import operator
from typing import Any

from smsclick._values.causes import Cause
from smsclick.contract import IfAbsent, Priority, State

TRANSITIONS: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.SENDING, State.EXPIRED, State.CANCELLED}),
    State.SENDING: frozenset({State.SENT, State.QUEUED, State.UNKNOWN, State.FAILED}),
    State.UNKNOWN: frozenset({State.SENT, State.QUEUED, State.FAILED}),
    State.SENT: frozenset({State.DELIVERED, State.REJECTED, State.UNDETERMINED}),
    State.UNDETERMINED: frozenset({State.DELIVERED, State.REJECTED}),
    State.FAILED: frozenset({State.QUEUED}),
    State.DELIVERED: frozenset(),
    State.REJECTED: frozenset(),
    State.EXPIRED: frozenset(),
    State.CANCELLED: frozenset(),
}
"""The contract's table, to the letter."""


class IllegalTransitionError(RuntimeError):
    """A step asked for a change that the contract forbids: a defect of ours."""


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """What the state machine knows of a row. Phones and texts are not part of it."""

    id: int
    state: State
    priority: Priority
    rule_id: str | None
    if_absent: IfAbsent
    send_at: dt.datetime | None
    expires_at: dt.datetime | None
    due_at: dt.datetime | None
    token: str | None
    lease_until: dt.datetime | None
    wire_key: str | None
    unknown_since: dt.datetime | None
    attempts: int
    attempted_at: dt.datetime | None
    refusals: int
    polls: int
    id_mensaje: int | None
    estatus_mensaje: int | None
    credits_used: int | None
    last_code: int | None
    last_error: str | None
    sent_at: dt.datetime | None
    final_at: dt.datetime | None
    reply: str | None
    replied_at: dt.datetime | None
    callback: str | None = None
    erased_at: dt.datetime | None = None
    unknown_reason: str | None = None
    account_fingerprint: str | None = None
    absences: int = 0
    absent_since: dt.datetime | None = None
    id_source: str | None = None
    waits_for: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Note:
    """What an event says besides the states."""

    cause: Cause
    code: int | None = None
    description: str | None = None
    id_mensaje: int | None = None
    actor: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """A decision: what a row was, what it becomes, and why. Without a note no event is kept."""

    was: Message
    becomes: Message
    note: Note | None


FIELDS = tuple(field.name for field in dataclasses.fields(Message))
_all_values = operator.attrgetter(*FIELDS)


def replace(message: Message, **values: Any) -> Message:  # noqa: ANN401 - of any field
    """`dataclasses.replace`, at a third of its cost: it runs four times for every message."""
    return Message(**(dict(zip(FIELDS, _all_values(message), strict=True)) | values))
