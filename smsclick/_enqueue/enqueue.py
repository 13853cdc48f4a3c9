"""Enqueue messages in the caller's own transaction, and wake the workers up after its commit.

The same key with the same phone and text is the same message, also when two calls run at once. The same key with
another phone or text is refused.
"""

import asyncio
import datetime as dt
from array import array
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, overload

import sqlalchemy as sa

from smsclick._enqueue.key_sorter import KeySorter
from smsclick._enqueue.message import NewMessage
from smsclick._enqueue.observers import observers
from smsclick._enqueue.tracing import producing
from smsclick._enqueue.transactions import async_connection_of, connection_of, is_async
from smsclick._wakeups import after_commit
from smsclick.contract import IfAbsent, Priority
from smsclick.errors import KeyConflict

if TYPE_CHECKING:
    from smsclick._enqueue.transactions import AsyncTransaction, Transaction
from smsclick._enqueue.store import Stored, store

SORTED = 10_000
"""Messages that `enqueue_many` keeps in memory; the others wait in a temporary file (`KeySorter`)."""

_CHECKED_AT_ONCE = 100
"""Messages that are checked before other tasks of the event loop may run."""


class _Required(TypedDict):
    phone: str | int
    text: str


class Content(_Required, total=False):
    """The keyword arguments of `enqueue`, which are also the mappings of `enqueue_many`."""

    key: str | None
    send_at: dt.datetime | str | None
    expires_at: dt.datetime | str | None
    ttl: float | dt.timedelta | None
    priority: Priority | str | None
    rule_id: str | int | None
    if_absent: IfAbsent | str | None
    callback: str | None
    reference: str | None


@overload
def enqueue(session: "Transaction", **content: Unpack[Content]) -> int: ...
@overload
def enqueue(session: "AsyncTransaction", **content: Unpack[Content]) -> Coroutine[Any, Any, int]: ...
def enqueue(
    session: "Transaction | AsyncTransaction",
    *,
    phone: str | int,
    text: str,
    key: str | None = None,
    send_at: dt.datetime | str | None = None,
    expires_at: dt.datetime | str | None = None,
    ttl: float | dt.timedelta | None = None,
    priority: Priority | str | None = None,
    rule_id: str | int | None = None,
    if_absent: IfAbsent | str | None = None,
    callback: str | None = None,
    reference: str | None = None,
) -> int | Coroutine[Any, Any, int]:
    """Store one message in the caller's transaction. It is sent after the commit, and never without it.

    Args:
        session: the caller's session or connection, in the database that `DATABASE_URL` names for the worker. With
            one of SQLAlchemy's asyncio extension the call is awaited: `await enqueue(session, …)`.
        phone: the recipient. `NewMessage.of` describes this argument and all that follow in full.
        text: what to send.
        key: the idempotency key.
        send_at: do not send before this time.
        expires_at: do not send after this time.
        ttl: do not send after so many seconds; instead of `expires_at`.
        priority: `high`, `normal` or `low`.
        rule_id: ID_REGLA_INTERACTIVA.
        if_absent: `resend` or `fail`.
        callback: the task or the webhook that receives what becomes of the message.
        reference: the producer's own words.

    Returns:
        The id of the message. If the same key came before with the same phone and text, the id of that message.

    Raises:
        InvalidMessage: the message cannot be sent as it was given.
        KeyConflict: the key belongs to a message with another phone or text.
    """
    message = NewMessage.of(
        phone=phone,
        text=text,
        key=key,
        send_at=send_at,
        expires_at=expires_at,
        ttl=ttl,
        priority=priority,
        rule_id=rule_id,
        if_absent=if_absent,
        callback=callback,
        reference=reference,
    )
    if is_async(session):
        return _enqueue_async(session, message)
    return _enqueue(connection_of(session, "enqueue"), [message])[0]


@overload
def enqueue_many(session: "Transaction", new: Iterable[NewMessage | Mapping[str, Any]]) -> list[int]: ...
@overload
def enqueue_many(
    session: "AsyncTransaction",
    new: Iterable[NewMessage | Mapping[str, Any]] | AsyncIterable[NewMessage | Mapping[str, Any]],
) -> Coroutine[Any, Any, list[int]]: ...
def enqueue_many(
    session: "Transaction | AsyncTransaction",
    new: Iterable[NewMessage | Mapping[str, Any]] | AsyncIterable[NewMessage | Mapping[str, Any]],
) -> list[int] | Coroutine[Any, Any, list[int]]:
    """Store many messages in the caller's transaction; there may be more of them than fit in memory.

    All messages are read and checked before the first one is stored. They are stored in the order of their keys, so
    that two calls with the same keys wait for each other instead of deadlocking.

    Args:
        session: as for `enqueue`.
        new: messages, or mappings with the keyword arguments of `enqueue`; with an asynchronous session they may come
            from an asynchronous iterator.

    Returns:
        The ids of the messages, in the order in which they came.

    Raises:
        InvalidMessage: a message cannot be sent as it was given. Roll back.
        KeyConflict: a key belongs to a message with another phone or text. Roll back.
    """
    if is_async(session):
        return _enqueue_many_async(session, new)
    if not isinstance(new, Iterable):
        raise TypeError("enqueue_many: an asynchronous iterator needs an asynchronous session")
    connection = connection_of(session, "enqueue_many")
    with KeySorter(SORTED) as sorter:
        for each in new:
            if sorter.is_full:
                sorter.spill()
            sorter.add(_valid(each))
        ids = array("q", bytes(8 * len(sorter)))
        for places, batch in sorter.batches():
            _place(ids, places, _enqueue(connection, batch))
    return list(ids)


async def _enqueue_async(session: "AsyncTransaction", message: NewMessage) -> int:
    ids = await (await async_connection_of(session)).run_sync(_enqueue, [message])
    return ids[0]


async def _enqueue_many_async(
    session: "AsyncTransaction",
    new: Iterable[NewMessage | Mapping[str, Any]] | AsyncIterable[NewMessage | Mapping[str, Any]],
) -> list[int]:
    connection = await async_connection_of(session)
    with KeySorter(SORTED) as sorter:
        async for each in _each(new):
            if sorter.is_full:
                await asyncio.to_thread(sorter.spill)
            sorter.add(_valid(each))
            if not len(sorter) % _CHECKED_AT_ONCE:
                await asyncio.sleep(0)  # let other tasks of the loop run
        ids = array("q", bytes(8 * len(sorter)))
        batches = sorter.batches()
        while (following := await asyncio.to_thread(next, batches, None)) is not None:
            places, batch = following
            _place(ids, places, await connection.run_sync(_enqueue, batch))
    return list(ids)


def _place(ids: "array[int]", places: Sequence[int], found: Sequence[int]) -> None:
    """Write the ids of a batch to the places of its messages."""
    for place, message_id in zip(places, found, strict=True):
        ids[place] = message_id


async def _each(
    new: Iterable[NewMessage | Mapping[str, Any]] | AsyncIterable[NewMessage | Mapping[str, Any]],
) -> AsyncIterator[NewMessage | Mapping[str, Any]]:
    if isinstance(new, AsyncIterable):
        async for each in new:
            yield each
    else:
        for each in new:
            yield each


def _valid(new: NewMessage | Mapping[str, Any]) -> NewMessage:
    return new if isinstance(new, NewMessage) else NewMessage.of(**new)


def enqueue_each(
    connection: sa.Connection, new: Sequence[NewMessage], traceparents: Mapping[str, str] | None = None
) -> list[Stored]:
    """Store messages and wake the workers up after the commit. A key of other content stops no other message.

    Args:
        connection: in a transaction of the caller.
        new: validated messages, as many as fit in memory.
        traceparents: by key, the context of the span that enqueues a message.

    Returns:
        What became of each, in the order in which they came: see `Stored.conflict`.
    """
    stored = store(connection, new, traceparents)
    _announce(connection, new, stored)
    return stored


def _enqueue(connection: sa.Connection, new: Sequence[NewMessage]) -> list[int]:
    with producing() as span:
        stored = store(connection, new, span.of_all(new))
        for message, result in zip(new, stored, strict=True):
            if result.conflict:
                raise KeyConflict(message.key, result.id)
        ids = [result.id for result in stored]
        span.stored(ids)
    _announce(connection, new, stored)
    return ids


def _announce(connection: sa.Connection, new: Sequence[NewMessage], stored: Sequence[Stored]) -> None:
    """Pass the new messages to the observers, and wake the workers for those that are due after the commit."""
    fresh = [(message, result) for message, result in zip(new, stored, strict=True) if result.new]
    for observe in observers:
        observe(connection, [message.key for message, _ in fresh])
    after_commit.wake(connection, [result.id for message, result in fresh if message.send_at is None])
