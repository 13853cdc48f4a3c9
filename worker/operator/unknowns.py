"""Attempts of unknown outcome, for an operator: list them, and decide by hand what became of one."""

import dataclasses
import datetime as dt
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from smsclick._database.columns import db_now
from smsclick._database.engine import Database
from smsclick.contract import State, messages
from smsclick.errors import NotAllowed
from worker.alerting import doubt_reasons
from worker.lifecycle import message_rows, on_operator
from worker.lifecycle.model import Change, Message
from worker.operator import message_changes
from worker.operator.message_changes import Result
from worker.sql.audit import Act

_MOST_UNKNOWNS = 1000


class IdMensajeOwnedError(NotAllowed):
    """Another message has the `id_mensaje` that a person gave.

    Attributes:
        id_mensaje: that id.
        owner: the id of the message that has it.
    """

    def __init__(self, id_mensaje: int, owner: int) -> None:
        super().__init__(id_mensaje, owner)
        self.id_mensaje = id_mensaje
        self.owner = owner

    def __str__(self) -> str:
        """Return the line for a person."""
        return (
            f"id_mensaje {self.id_mensaje} belongs to message {self.owner} already: see smsclick show id:{self.owner}"
        )


@dataclasses.dataclass(frozen=True, slots=True)
class UnknownAttempt:
    """An attempt of unknown outcome.

    Attributes:
        id: of its message.
        key: of its message.
        attempt: its number.
        age_seconds: since the latest time at which its request can have left.
        looks: how many reports were read for it without a result.
        absences: how often the message was sent again because a report proved an attempt absent.
        code: the `codigo` of the answer, if it could be read.
        reason: why the outcome is unknown.
        open_reason: the code of why the latest report proved nothing, a `worker.lifecycle.doubt.Doubt`; None
            before the first report.
        why: `open_reason` in words.
        todo: what to do about it.
        next_look_seconds: until the next report is read for it; None if only a person can decide.
    """

    id: int
    key: str
    attempt: int
    age_seconds: float
    looks: int
    absences: int
    code: int | None
    reason: str | None
    open_reason: str | None
    why: str | None
    todo: str | None
    next_look_seconds: float | None


def read(database: Database, limit: int = _MOST_UNKNOWNS) -> list[UnknownAttempt]:
    """Return the attempts of unknown outcome, the oldest first, at most `limit`."""
    with database.read() as connection:
        rows = connection.execute(
            sa.select(
                messages.c.id,
                messages.c.key,
                messages.c.attempts,
                messages.c.unknown_since,
                messages.c.unknown_reason,
                messages.c.absences,
                messages.c.polls,
                messages.c.last_code,
                messages.c.last_error,
                messages.c.due_at,
                db_now().label("now"),
            )
            # Always true. The databases use the partial index only if the query repeats its condition, and MariaDB
            # would sort rows without a time first.
            .where(message_rows.in_state(State.UNKNOWN), messages.c.unknown_since.is_not(None))
            .order_by(messages.c.unknown_since)
            .limit(limit)
        )
        return [_attempt(row) for row in rows]


def _attempt(row: Any) -> UnknownAttempt:  # noqa: ANN401 - a Row, whose columns no type can name
    known = doubt_reasons.reason(row.unknown_reason)
    return UnknownAttempt(
        id=row.id,
        key=row.key,
        attempt=row.attempts,
        age_seconds=(row.now - row.unknown_since).total_seconds(),
        looks=row.polls,
        absences=row.absences,
        code=row.last_code,
        reason=row.last_error,
        open_reason=row.unknown_reason,
        why=None if known is None else known.why,
        todo=None if known is None else known.todo,
        next_look_seconds=None if row.due_at is None else max(0.0, (row.due_at - row.now).total_seconds()),
    )


def decide(database: Database, name: str, id_mensaje: int | None, actor: str, *, attempt: int | None = None) -> Result:
    """Record by hand what became of an attempt of unknown outcome.

    Args:
        database: where the message is.
        name: the message's id or key.
        id_mensaje: the provider's id of the message; None if the provider certainly did not accept it: then the
            message is sent again or fails, as its `if_absent` says.
        actor: the person who decided; the event and the audit record keep this name.
        attempt: how many attempts the message had when the person decided; with another number it is not changed.

    Raises:
        IdMensajeOwnedError: another message has this `id_mensaje`.
    """

    def decided(message: Message, now: dt.datetime) -> Change | NotAllowed:
        if message.state is not State.UNKNOWN:
            rule = "smsclick settle is for attempts of unknown outcome only"
            return message_changes.refusal(message, "decided by hand", rule)
        if message.erased_at is not None and id_mensaje is None:
            return NotAllowed(
                f"message {message.id} cannot be sent again: its phone and text were erased; "
                "only --accepted is possible"
            )
        return on_operator.reconciled_by_hand(message, id_mensaje, actor, now)

    said = "not accepted" if id_mensaje is None else f"accepted as {id_mensaje}"
    if id_mensaje is not None:
        _refuse_owned(database, id_mensaje)
    try:
        decide_seen = message_changes.as_seen(decided, attempt)
        [result] = message_changes.change(database, [name], decide_seen, Act.SETTLE, actor, said)
    except IntegrityError:
        if id_mensaje is not None:
            _refuse_owned(database, id_mensaje)  # another message got this id in the meantime
        raise
    return result


def _refuse_owned(database: Database, id_mensaje: int) -> None:
    """Raise `IdMensajeOwnedError` if a message has this `id_mensaje` already."""
    with database.read() as connection:
        owner = connection.scalar(sa.select(messages.c.id).where(messages.c.id_mensaje == id_mensaje))
    if owner is not None:
        raise IdMensajeOwnedError(id_mensaje, owner)
