"""Enqueue messages inside the caller's own transaction; the doorbell rings after its commit.

The same key with the same phone and text is the same message, also under concurrency; with others it is refused.
"""

import dataclasses
import datetime as dt
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Session, scoped_session

from smsclick import doorbell
from smsclick.columns import db_now
from smsclick.contract import IfAbsent, Priority, messages
from smsclick.errors import KeyConflict, SmsclickError
from smsclick.message import NewMessage

CHUNK = 500
"""Messages of one INSERT."""

_KEY_INDEX = "uq_smsclick_messages_key"
_PENDING = "smsclick_pending"

Transaction = Session | scoped_session[Any] | sa.Connection
"""What `enqueue` writes through: the caller's own; it is never committed here."""


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """What became of one message at the door.

    Attributes:
        id: of the row; of the older message where the key was taken.
        new: whether this call stored it.
        conflict: whether the older message has another phone or text.
    """

    id: int
    new: bool
    conflict: bool


def enqueue(
    session: Transaction,
    *,
    phone: str | int,
    text: str,
    key: str | None = None,
    send_at: dt.datetime | str | None = None,
    expires_at: dt.datetime | str | None = None,
    priority: Priority | str | None = None,
    rule_id: str | int | None = None,
    if_absent: IfAbsent | str | None = None,
    callback: str | None = None,
    reference: str | None = None,
) -> int:
    """Store one message in the caller's transaction; it is sent after the commit and not without it.

    Args:
        session: the caller's session or connection, in the database that `DATABASE_URL` names for the worker.
        phone: see `NewMessage.of`, as for all that follow.
        text: what to send.
        key: the idempotency key.
        send_at: not before.
        expires_at: not after.
        priority: `high`, `normal` or `low`.
        rule_id: ID_REGLA_INTERACTIVA.
        if_absent: `resend` or `fail`.
        callback: who hears of it.
        reference: the producer's own words.

    Returns:
        The id of the message; of the older one where the same key came before with the same phone and text.

    Raises:
        InvalidMessage: it cannot be sent as it is.
        KeyConflict: the key belongs to a message with another phone or text.
    """
    message = NewMessage.of(
        phone=phone,
        text=text,
        key=key,
        send_at=send_at,
        expires_at=expires_at,
        priority=priority,
        rule_id=rule_id,
        if_absent=if_absent,
        callback=callback,
        reference=reference,
    )
    return _enqueue(session, [message])[0]


def enqueue_many(session: Transaction, new: Iterable[NewMessage | Mapping[str, Any]]) -> list[int]:
    """Store many messages in the caller's transaction, in chunks.

    Args:
        session: as for `enqueue`.
        new: messages, or mappings with the keyword arguments of `enqueue`.

    Returns:
        Their ids, in order.

    Raises:
        InvalidMessage: one of them cannot be sent as it is.
        KeyConflict: one of the keys belongs to a message with another phone or text. In both cases roll back.
    """
    ids: list[int] = []
    valid = (each if isinstance(each, NewMessage) else NewMessage.of(**each) for each in new)
    while chunk := list(itertools.islice(valid, CHUNK)):
        ids += _enqueue(session, chunk)
    return ids


def store(connection: sa.Connection, new: Sequence[NewMessage]) -> list[Stored]:
    """Store messages and say of each what became of it; conflicts are told, not raised. Rings nothing.

    Args:
        connection: in a transaction of the caller.
        new: at most a few thousand; a key that comes twice is one message.
    """
    before = _by_key(connection, new)
    fresh = {message.key: message for message in reversed(new) if message.key not in before}
    if fresh:
        connection.execute(_insert(connection), [_row(message) for message in reversed(fresh.values())])
    after = before | _by_key(connection, list(fresh.values()))
    if unseen := [message for message in fresh.values() if message.key not in after]:
        after |= _by_key(connection, unseen, unseen=True)
    stored: list[Stored] = []
    seen = set(before)
    for message in new:
        row = after.get(message.key)
        if row is None:
            raise SmsclickError(f"the message with the key {message.key!r} was not stored; try again")
        # An erased message has no content left to compare; its key still belongs to it.
        conflict = row.erased_at is None and (row.phone, row.text) != (message.phone, message.text)
        stored.append(Stored(row.id, new=message.key not in seen and not conflict, conflict=conflict))
        seen.add(message.key)
    return stored


def _enqueue(session: Transaction, new: Sequence[NewMessage]) -> list[int]:
    connection = session if isinstance(session, sa.Connection) else session.connection()
    stored = store(connection, new)
    for message, result in zip(new, stored, strict=True):
        if result.conflict:
            raise KeyConflict(message.key, result.id)
    due = [result.id for message, result in zip(new, stored, strict=True) if result.new and message.send_at is None]
    _ring_after_commit(session, due)
    return [result.id for result in stored]


def _by_key(connection: sa.Connection, new: Sequence[NewMessage], *, unseen: bool = False) -> dict[str, Any]:
    """The rows that have the keys of `new`.

    Args:
        connection: as in `store`.
        new: the messages.
        unseen: the rows are there but not in the snapshot of the caller's transaction (MariaDB, MySQL): others
            committed them since it began. A locking read sees them. It must only be asked for keys that exist, by
            their index: it would lock the gap where a key is not, and producers of neighbouring keys would wait for
            each other for ever.
    """
    if not new:
        return {}
    query = sa.select(messages.c.id, messages.c.key, messages.c.phone, messages.c.text, messages.c.erased_at).where(
        messages.c.key.in_([message.key for message in new])
    )
    if unseen:
        by_key = f"FORCE INDEX ({_KEY_INDEX})"
        query = query.with_hint(messages, by_key, "mysql").with_hint(messages, by_key, "mariadb")
        query = query.with_for_update(read=True)
    return {row.key: row for row in connection.execute(query)}


def _insert(connection: sa.Connection) -> sa.Insert:
    values = {column: sa.bindparam(column, type_=messages.c[column].type) for column in _COLUMNS}
    due = sa.func.coalesce(sa.bindparam("send_at", type_=messages.c.send_at.type), db_now())
    match connection.dialect.name:
        case "postgresql":
            return postgresql.insert(messages).values(**values, due_at=due).on_conflict_do_nothing()
        case "sqlite":
            return sqlite.insert(messages).values(**values, due_at=due).on_conflict_do_nothing()
        case "mysql" | "mariadb":
            # Not INSERT IGNORE, which would also swallow what does not fit.
            insert = mysql.insert(messages).values(**values, due_at=due)
            return insert.on_duplicate_key_update(id=messages.c.id)
        case other:
            raise SmsclickError(f"{other}: not one of SQLite, PostgreSQL, MariaDB or MySQL")


_COLUMNS = tuple(field.name for field in dataclasses.fields(NewMessage))


def _row(message: NewMessage) -> dict[str, object]:
    return {name: getattr(message, name) for name in _COLUMNS}


def _ring_after_commit(session: Transaction, ids: Sequence[int]) -> None:
    if not ids or not doorbell.configured():
        return
    if isinstance(session, sa.Connection):
        # The event comes just before the commit: the bell waits a moment. Should it still be early, the sweep is there.
        event.listen(session, "commit", lambda _: doorbell.ring(ids, delay=0.05), once=True)
        return
    real = session() if isinstance(session, scoped_session) else session
    pending = real.info.setdefault(_PENDING, [])
    if not pending and not real.info.get(f"{_PENDING}_listens"):
        real.info[f"{_PENDING}_listens"] = True
        event.listen(real, "after_commit", _committed)
        event.listen(real, "after_rollback", _rolled_back)
    pending.extend(ids)


def _committed(session: Session) -> None:
    # Also called when a savepoint is released, before anything is visible to others.
    if session.in_nested_transaction():
        return
    ids = session.info.pop(_PENDING, None)
    session.info[_PENDING] = []
    if ids:
        doorbell.ring(ids)


def _rolled_back(session: Session) -> None:
    if not session.in_nested_transaction():
        session.info[_PENDING] = []
