"""The state machine of a message: which state may follow which, and the only code that writes a state.

A step locks rows (`lock`, `lock_due`), decides with pure functions (`worker.decisions`) what each becomes, and hands
the changes to `apply`, which checks them against `TRANSITIONS`, writes them set-wise and keeps an event of each.
"""

import dataclasses
import datetime as dt
import enum
import operator
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from smsclick.columns import db_now
from smsclick.contract import WITHDRAWN, IfAbsent, Priority, State, events, messages
from worker import outbox, parking, setwise

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

FINAL = frozenset({State.DELIVERED, State.REJECTED, State.FAILED, State.EXPIRED, State.CANCELLED})


class Cause(enum.StrEnum):
    """Why a message changed; kept with the event."""

    CLAIMED = "claimed"
    QUIET = "waits for the end of the quiet hours"
    RELEASED = "released before the request left"
    ANSWERED = "answered"
    LATE_ANSWER = "answered after its claim was lost"
    LEASE_ENDED = "worker lost"
    REPORTED = "found in the report"
    ABSENT = "absent from the report"
    INVALID = "cannot be sent"
    TOO_LATE = "validity ended"
    POLLED = "status asked"
    REPLIED = "the recipient replied"
    TRACKING_ENDED = "no final status in time"
    RESTORED = "a backup was restored"
    OPERATOR = "operator"
    WITHDRAWN = WITHDRAWN


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


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """A decision: what a row was, what it becomes, and why. Without a note no event is kept."""

    was: Message
    becomes: Message
    note: Note | None


_FIELDS = tuple(field.name for field in dataclasses.fields(Message))
COLUMNS = tuple(messages.c[name] for name in _FIELDS)
"""What a step selects, first and in this order, of a row that it hands to `read`."""

_FIXED = {"id", "priority", "rule_id", "if_absent", "send_at", "expires_at", "callback", "erased_at"}
_WRITABLE = tuple(name for name in _FIELDS if name not in _FIXED)
_values = operator.attrgetter(*_WRITABLE)
_all_values = operator.attrgetter(*_FIELDS)
_STATE, _PRIORITY, _IF_ABSENT = (_FIELDS.index(name) for name in ("state", "priority", "if_absent"))
# A look-up costs a quarter of an enum's call.
_STATES = {str(state): state for state in State}
_PRIORITIES = {int(priority): priority for priority in Priority}
_IF_ABSENTS = {str(choice): choice for choice in IfAbsent}


def read(row: Any) -> Message:  # noqa: ANN401 - a Row, whose columns no type can name
    """The `Message` of a row that begins with `COLUMNS`."""
    values = list(row[: len(_FIELDS)])
    values[_STATE] = _STATES[values[_STATE]]
    values[_PRIORITY] = _PRIORITIES[values[_PRIORITY]]
    values[_IF_ABSENT] = _IF_ABSENTS[values[_IF_ABSENT]]
    return Message(*values)


def replace(message: Message, **values: Any) -> Message:  # noqa: ANN401 - of any field
    """`dataclasses.replace`, at a third of its cost: it runs four times for every message."""
    return Message(**(dict(zip(_FIELDS, _all_values(message), strict=True)) | values))


def in_state(*states: State) -> sa.ColumnElement[bool]:
    """A condition with the states as literals: a bound parameter could lose the partial indexes."""
    literals = [sa.literal(str(state), literal_execute=True) for state in states]
    column: sa.Column[str] = messages.c.state
    return column == literals[0] if len(literals) == 1 else column.in_(literals)


def lock(connection: sa.Connection, ids: Collection[int], *, skip_locked: bool = False) -> dict[int, Message]:
    """Lock rows by id, always in the order of ids so that two callers cannot deadlock.

    Args:
        connection: in a transaction.
        ids: of the rows.
        skip_locked: leave out what others hold, instead of waiting for them.
    """
    query = _ALL.where(setwise.among(connection, messages.c.id, ids)).order_by(messages.c.id)
    return {row.id: read(row) for row in connection.execute(query.with_for_update(skip_locked=skip_locked))}


def existing(connection: sa.Connection, ids: Collection[int]) -> frozenset[int]:
    """Which of these rows there are, whoever holds them."""
    if not ids:
        return frozenset()
    query = sa.select(messages.c.id).where(setwise.among(connection, messages.c.id, ids))
    return frozenset(connection.scalars(query))


_ALL = sa.select(*COLUMNS)


def lock_due(connection: sa.Connection, state: State, limit: int) -> list[Message]:
    """Lock up to `limit` rows of a state that are due by the database's clock, skipping those that others hold."""
    rows = connection.execute(
        sa.select(*COLUMNS)
        .where(in_state(state), messages.c.due_at <= db_now())
        .order_by(messages.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [read(row) for row in rows]


def due_ids(connection: sa.Connection, state: State, limit: int) -> list[int]:
    """The ids of what `lock_due` would lock, without reading anything else of those rows."""
    query = sa.select(messages.c.id).where(in_state(state), messages.c.due_at <= db_now())
    return [row.id for row in connection.execute(query.order_by(messages.c.due_at).limit(limit))]


def apply(connection: sa.Connection, changes: Sequence[Change]) -> list[int]:
    """Write changes of rows that the caller has locked, and an event for each that carries a note.

    Returns:
        The ids of messages that waited for one of these, of equal content, and are due now.

    Raises:
        IllegalTransitionError: a change is not in `TRANSITIONS`; nothing is written.
    """
    if not changes:
        return []
    for change in changes:
        _check(change)
    names = _changed(changes)
    rows = [
        {"b_id": change.was.id, "b_was": change.was.state, **{name: getattr(change.becomes, name) for name in names}}
        for change in changes
    ]
    if setwise.update(connection, messages, {"id": "b_id", "state": "b_was"}, rows) not in {len(changes), -1}:
        raise IllegalTransitionError("a row changed although it was locked")
    keep(connection, changes)
    outbox.note(connection, changes)
    landed = {change.was.wire_key for change in changes if change.becomes.wire_key is None}
    return parking.release(connection, [key for key in landed if key is not None])


def keep(connection: sa.Connection, changes: Iterable[Change]) -> None:
    """Keep the events of changes, without writing the changes themselves."""
    rows: list[setwise.Row] = [
        {
            "message_id": change.was.id,
            "from_state": change.was.state,
            "to_state": change.becomes.state,
            "cause": change.note.cause,
            "attempt": change.becomes.attempts or change.was.attempts,
            "code": change.note.code,
            "description": change.note.description,
            "id_mensaje": change.note.id_mensaje,
        }
        for change in changes
        if change.note is not None
    ]
    setwise.insert(connection, events, rows)


def _check(change: Change) -> None:
    was, becomes = change.was, change.becomes
    if was.id != becomes.id or (was.state is not becomes.state and becomes.state not in TRANSITIONS[was.state]):
        raise IllegalTransitionError(f"message {was.id}: {was.state} cannot become {becomes.state}")


def _changed(changes: Iterable[Change]) -> list[str]:
    """The columns that any of the changes writes; the others keep what they have, because the rows are locked."""
    changed = {"state"}
    for change in changes:
        was, becomes = _values(change.was), _values(change.becomes)
        if was != becomes:
            changed.update(name for name, old, new in zip(_WRITABLE, was, becomes, strict=True) if old != new)
    return sorted(changed)
