"""Who did what by hand, in the table `smsclick_audit`: one row for each act, and no phone, text or key in it.

The event of a message that a person changed names the person too (`smsclick_events.actor`). The row here also covers
acts that change no message, and says in one place how many things a bulk act changed.
Why: docs/decisions/0061-who-did-it.md.
"""

import dataclasses
import datetime as dt
import enum
from typing import Any, Final

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick.contract import audit

ACTOR_CHARACTERS: Final = 100
_DETAIL_CHARACTERS: Final = 300


class Act(enum.StrEnum):
    """What a person did; a fixed list, so that a monitor can filter by it."""

    CANCEL = "cancel"
    RETRY = "retry"
    SETTLE = "settle"
    HOLD = "hold"
    RESUME = "resume"
    RESTORED = "restored"
    RESTORED_END = "restored_end"
    OPTOUT_ADD = "optout_add"
    OPTOUT_REMOVE = "optout_remove"
    OPTOUT_IMPORT = "optout_import"
    IMPORT = "import"
    DEAD_LETTER_RETRY = "dead_letter_retry"
    DEAD_LETTER_DROP = "dead_letter_drop"
    CALLBACK_REPLAY = "callback_replay"
    FORGET = "forget"
    TOKEN_CREATE = "token_create"  # noqa: S105 - an act
    TOKEN_REVOKE = "token_revoke"  # noqa: S105 - an act
    USER_ADD = "user_add"
    USER_PASSWORD = "user_password"  # noqa: S105 - an act
    USER_REMOVE = "user_remove"


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One act.

    Attributes:
        id: of the row.
        at: when it began, by the database's clock.
        actor: who did it: `user@host` on the command line, a name elsewhere.
        act: what was done; the code of an `Act`.
        count: how many messages, phones, callbacks or dead letters it changed.
        detail: what it was asked to do, without a phone, a text or a key.
    """

    id: int
    at: dt.datetime
    actor: str
    act: str
    count: int
    detail: str


def name_of(actor: str) -> str:
    """Return an actor's name as it is stored: printable, at most `ACTOR_CHARACTERS` characters, never empty."""
    return "".join(each for each in actor if each.isprintable())[:ACTOR_CHARACTERS].strip() or "unknown"


def record(connection: sa.Connection, act: Act, actor: str, *, count: int = 0, detail: str = "") -> int:
    """Store an act in the caller's transaction.

    Args:
        connection: in a transaction, best in the one that does what is recorded.
        act: what is done.
        actor: who does it.
        count: how many things it has changed.
        detail: what it was asked to do, without a phone, a text or a key; cut to 300 characters.

    Returns:
        The record's id, for `add`.
    """
    values = {"act": str(act), "actor": name_of(actor), "count": count, "detail": detail[:_DETAIL_CHARACTERS]}
    made: Any = connection.execute(sa.insert(audit).values(**values)).inserted_primary_key
    return int(made[0])


def begin(database: Database, act: Act, actor: str, detail: str = "") -> int:
    """Store an act of many transactions before the first of them; returns the record's id, for `add`."""
    return database.transact(lambda connection: record(connection, act, actor, detail=detail))


def add(connection: sa.Connection, record_id: int, count: int) -> None:
    """Count what one more transaction of an act has changed, in that transaction."""
    if count:
        connection.execute(sa.update(audit).where(audit.c.id == record_id).values(count=audit.c.count + count))


def listed(database: Database, limit: int = 100) -> list[Record]:
    """Return the latest acts, newest first."""
    with database.read() as connection:
        rows = connection.execute(sa.select(audit).order_by(audit.c.id.desc()).limit(limit))
        return [Record(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name
