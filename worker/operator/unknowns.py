"""Attempts of unknown outcome, for a person: why each is open, and a person's word on what became of it."""

import dataclasses
import datetime as dt
import os
import pwd

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from smsclick._database.columns import db_now
from smsclick._database.database import Database
from smsclick.contract import State, messages
from smsclick.errors import NotAllowed
from worker.lifecycle import message_rows, on_operator
from worker.lifecycle.model import Change, Message
from worker.operator import operations
from worker.operator.operations import Done
from worker.reconciliation import reasons

_MOST = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Unsettled:
    """An attempt of unknown outcome.

    Attributes:
        age_seconds: since its request can have left at the latest. looks: reports that were read for it and did not
        settle it. absences: how often a report's silence sent the message again already. code: the `codigo` that could
        be read, if any. reason: why its outcome is unknown. open_reason: the code of why the report could not tell, a
        `worker.lifecycle.doubt.Doubt`; None before the first look. why: the same in words. todo: what to do about
        that. next_look_seconds: until the next report is read for it; None where only a person can settle it.
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


def unknown(database: Database, limit: int = _MOST) -> list[Unsettled]:
    """Attempts of unknown outcome, the oldest first, and what was seen of them."""
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
            # All of them have the time; said, so that the index gives them, and on MariaDB not those without one first.
            .where(message_rows.in_state(State.UNKNOWN), messages.c.unknown_since.is_not(None))
            .order_by(messages.c.unknown_since)
            .limit(limit)
        )
        found = []
        for row in rows:
            known = reasons.reason(row.unknown_reason)
            found.append(
                Unsettled(
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
            )
        return found


def settle(database: Database, word: str, id_mensaje: int | None, who: str) -> Done:
    """Say by hand what became of an attempt of unknown outcome; an event keeps who said so, and when.

    Args:
        database: where its message is.
        word: the message's id or key.
        id_mensaje: under which the provider accepted it; None where it surely did not: then the message is sent again,
            or fails, as its `if_absent` says.
        who: says so.

    Raises:
        NotAllowed: another message has this `id_mensaje`.
    """

    def decide(message: Message, now: dt.datetime, erased: bool) -> Change | str:  # noqa: FBT001 - a Decide
        if message.state is not State.UNKNOWN:
            return operations.refusal(message, "settled", "only an attempt of unknown outcome can be settled by hand")
        if erased and id_mensaje is None:
            return f"message {message.id} cannot be sent again: its phone and text were erased; say --accepted"
        return on_operator.settled_by_hand(message, id_mensaje, who, now)

    if id_mensaje is not None:
        _refuse_taken(database, id_mensaje)
    try:
        [done] = operations.change(database, [word], decide)
    except IntegrityError:
        _refuse_taken(database, id_mensaje)  # it was given to another one just now
        raise
    return done


def _refuse_taken(database: Database, id_mensaje: int | None) -> None:
    with database.read() as connection:
        owner = connection.scalar(sa.select(messages.c.id).where(messages.c.id_mensaje == id_mensaje))
    if owner is not None:
        raise NotAllowed(f"id_mensaje {id_mensaje} belongs to message {owner} already: see smsclick show id:{owner}")


def user() -> str:
    """Who runs this process, by the operating system."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user without a name
        return f"user {os.getuid()}"
