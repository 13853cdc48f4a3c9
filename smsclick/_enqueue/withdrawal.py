"""Withdraw a message that waits, and look one up by its key: both in the caller's own transaction.

A claim and a withdrawal may come at the same time: each changes the row only from `queued`, so one of the two wins, and
the message is sent or withdrawn, never both. A row that somebody holds is not waited for in the database, where two
that wait for each other would be a deadlock: it is looked at again until it is free, for `WAIT_SECONDS` at the most.
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
"""How long a message that another transaction holds is looked at again. A claim holds it for some milliseconds."""

_LOOK_SECONDS: Final = 0.02


@overload
def cancel(session: "Transaction", key: str) -> bool: ...
@overload
def cancel(session: "AsyncTransaction", key: str) -> Coroutine[Any, Any, bool]: ...
def cancel(session: "Transaction | AsyncTransaction", key: str) -> bool | Coroutine[Any, Any, bool]:
    """Withdraw a message that no worker has claimed, in the caller's transaction: with its rollback it waits again.

    Args:
        session: as for `enqueue`; with one of SQLAlchemy's asyncio extension the call is awaited.
        key: the message's.

    Returns:
        True where this call withdrew it: with the commit it is surely never sent. False where it did not: the message
        is being sent or was, came to its end before (withdrawn, expired, failed), is not there, or another transaction
        holds it for longer than `WAIT_SECONDS`. `status` says which.

    Raises:
        InvalidField: nothing can have such a key.
    """
    known = valid_key(key)
    if is_async(session):
        return _cancel_async(session, known)
    return withdraw(connection_of(session, "cancel"), known)


async def _cancel_async(session: "AsyncTransaction", key: str) -> bool:
    return await (await async_connection_of(session)).run_sync(withdraw, key)


def withdraw(connection: sa.Connection, key: str, *, wait_seconds: float = WAIT_SECONDS) -> bool:
    """As `cancel`, by a connection.

    Args:
        connection: in a transaction of the caller.
        key: the message's.
        wait_seconds: how long a message that another transaction holds is looked at again.
    """
    if connection.dialect.name == "sqlite":
        # Takes the one writer's lock: a transaction that reads first and writes later fails instead of waiting.
        connection.execute(sa.update(messages).where(sa.false()).values(key=messages.c.key))
    locked = _locked(connection, key, time.monotonic() + wait_seconds)
    if locked is None or locked.state != State.QUEUED:
        return False
    # By the state once more, for connections that commit each statement.
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
    # Inline: a producer's rights need not reach to reading events.
    connection.execute(sa.insert(events).values(**event).inline())
    return True


def _locked(connection: sa.Connection, key: str, look_until: float) -> Any:  # noqa: ANN401 - a Row, or None
    """The row of this key, locked; None where it is not queued, or not to be had."""
    mysql = connection.dialect.name in {"mysql", "mariadb"}
    while True:
        # Without a lock: by a key that is not there, MariaDB would lock the gap, and neighbours' producers out.
        seen = connection.execute(_SEEN, {"key": key}).one_or_none()
        if seen is None or seen.state != State.QUEUED:
            return None
        # MariaDB's snapshot may be older than the row that it locks. PostgreSQL locks what is still queued only.
        query = _LOCK if mysql else _LOCK_QUEUED
        locked = connection.execute(query, {"id": seen.id}).one_or_none()
        if locked is not None or time.monotonic() >= look_until:
            return locked
        if connection.dialect.name != "sqlite":
            # In the database, so that an event loop goes on meanwhile.
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
