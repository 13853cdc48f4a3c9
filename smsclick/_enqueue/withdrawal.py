"""Withdraw a message that no worker has claimed, in the caller's own transaction.

A claim and a withdrawal may come at the same time. Each changes the row only from `queued`, so one of the two wins: the
message is sent or withdrawn, never both. The withdrawal does not wait for a locked row inside the database, because two
transactions that wait for each other would deadlock. It looks again until the row is free, for at most `WAIT_SECONDS`.
"""

import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final, overload

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._enqueue.message import valid_key
from smsclick._enqueue.transactions import async_connection_of, connection_of, is_async
from smsclick._values.causes import Cause
from smsclick.contract import State, events, messages

if TYPE_CHECKING:
    from smsclick._enqueue.transactions import AsyncTransaction, Transaction


WAIT_SECONDS: Final = 5.0
"""How long to look again at a row that another transaction has locked. A claim locks it for some milliseconds."""

_LOOK_SECONDS: Final = 0.02


@overload
def cancel(session: "Transaction", key: str) -> bool: ...
@overload
def cancel(session: "AsyncTransaction", key: str) -> Coroutine[Any, Any, bool]: ...
def cancel(session: "Transaction | AsyncTransaction", key: str) -> bool | Coroutine[Any, Any, bool]:
    """Withdraw a message that no worker has claimed, in the caller's transaction. A rollback queues it again.

    Args:
        session: as for `enqueue`; with one of SQLAlchemy's asyncio extension the call is awaited.
        key: the key of the message.

    Returns:
        True if this call withdrew the message: after the commit it is surely never sent. False if not: the message was
        sent or is being sent, it has ended before (withdrawn, expired, failed), there is none with this key, or another
        transaction locks it for longer than `WAIT_SECONDS`. `status` returns which.

    Raises:
        InvalidField: no message can have this key.
    """
    known = valid_key(key)
    if is_async(session):
        return _cancel_async(session, known)
    return withdraw(connection_of(session, "cancel"), known)


async def _cancel_async(session: "AsyncTransaction", key: str) -> bool:
    return await (await async_connection_of(session)).run_sync(withdraw, key)


def withdraw(connection: sa.Connection, key: str, *, wait_seconds: float = WAIT_SECONDS) -> bool:
    """Do what `cancel` does, through a connection.

    Args:
        connection: in a transaction of the caller.
        key: the key of the message.
        wait_seconds: how long to look again at a row that another transaction has locked.
    """
    if connection.dialect.name == "sqlite":
        # Lock the database for writing: a transaction that reads first and writes later fails instead of waiting.
        connection.execute(sa.update(messages).where(sa.false()).values(key=messages.c.key))
    locked = _locked(connection, key, time.monotonic() + wait_seconds)
    if locked is None or locked.state != State.QUEUED:
        return False
    # Check the state again, because the connection may commit each statement.
    withdrawn = connection.execute(
        sa.update(messages)
        .where(messages.c.id == locked.id, _QUEUED)
        .values(state=State.CANCELLED, waits_for=None, due_at=None, final_at=db_now())
    )
    if not withdrawn.rowcount:
        return False
    event = {
        "message_id": locked.id,
        "from_state": State.QUEUED,
        "to_state": State.CANCELLED,
        "cause": Cause.WITHDRAWN,
        "attempt": locked.attempts,
    }
    # Inline, which returns nothing: a producer needs no right to read events.
    connection.execute(sa.insert(events).values(**event).inline())
    return True


def _locked(connection: sa.Connection, key: str, look_until: float) -> Any:  # noqa: ANN401 - a Row, or None
    """Return the row of this key, locked; None if it is not queued, or stays locked by another transaction."""
    mysql = connection.dialect.name in {"mysql", "mariadb"}
    while True:
        # Without a lock: for a missing key MariaDB would lock the gap, and block producers of neighbouring keys.
        seen = connection.execute(_SEEN, {"key": key}).one_or_none()
        if seen is None or seen.state != State.QUEUED:
            return None
        # MariaDB's snapshot may be older than the row that it locks. PostgreSQL locks a row only if it is still queued.
        query = _LOCK if mysql else _LOCK_QUEUED
        locked = connection.execute(query, {"id": seen.id}).one_or_none()
        if locked is not None or time.monotonic() >= look_until:
            return locked
        if connection.dialect.name != "sqlite":
            # Sleep in the database, so that an event loop is not blocked.
            connection.execute(sa.select((sa.func.sleep if mysql else sa.func.pg_sleep)(_LOOK_SECONDS)))


_QUEUED = messages.c.state == sa.literal(str(State.QUEUED), literal_execute=True)
_SEEN = sa.select(messages.c.id, messages.c.state).where(
    messages.c.key == sa.bindparam("key", type_=messages.c.key.type)
)
_LOCK = (
    sa.select(messages.c.id, messages.c.state, messages.c.attempts)
    .where(messages.c.id == sa.bindparam("id", type_=messages.c.id.type))
    .with_for_update(skip_locked=True, key_share=True)
)
_LOCK_QUEUED = _LOCK.where(_QUEUED)
