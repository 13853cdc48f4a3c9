"""Look a message up by its key, in the caller's own transaction."""

import dataclasses
import datetime as dt
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, overload

import sqlalchemy as sa

from smsclick._enqueue.message import valid_key
from smsclick._enqueue.transactions import async_connection_of, connection_of, is_async
from smsclick.contract import State, messages

if TYPE_CHECKING:
    from smsclick._enqueue.transactions import AsyncTransaction, Transaction


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """What is known of a message, without its phone and its text. All times are aware and in UTC.

    Attributes:
        id: the id of the row.
        key: the key that its producer gave it.
        state: its state.
        id_mensaje: the provider's id, once the provider accepted it.
        estatus_mensaje: the provider's status, 0 to 4.
        attempts: the number of attempts to send it.
        credits_used: the credits that the provider charged.
        last_code: the last code of the provider.
        last_error: why it was refused, or why it waits; may repeat a part of the text.
        created_at: when it was enqueued.
        send_at: it is not sent before this time.
        expires_at: it is not sent after this time.
        sent_at: when the provider accepted it.
        final_at: when it reached a final state.
        reply: what the recipient answered.
        replied_at: when the recipient answered.
        reference: the producer's own words.
    """

    id: int
    key: str
    state: State
    id_mensaje: int | None
    estatus_mensaje: int | None
    attempts: int
    credits_used: int | None
    last_code: int | None
    last_error: str | None = dataclasses.field(repr=False)
    created_at: dt.datetime
    send_at: dt.datetime | None
    expires_at: dt.datetime | None
    sent_at: dt.datetime | None
    final_at: dt.datetime | None
    reply: str | None = dataclasses.field(repr=False)
    replied_at: dt.datetime | None
    reference: str | None


@overload
def status(session: "Transaction", key: str) -> Status | None: ...
@overload
def status(session: "AsyncTransaction", key: str) -> Coroutine[Any, Any, Status | None]: ...
def status(session: "Transaction | AsyncTransaction", key: str) -> Status | Coroutine[Any, Any, Status | None] | None:
    """Return what is known of a message, as the caller's transaction sees it.

    Args:
        session: as for `enqueue`; with one of SQLAlchemy's asyncio extension the call is awaited.
        key: the key of the message.

    Returns:
        The status of the message; None if no message has this key.

    Raises:
        InvalidField: no message can have this key.
    """
    known = valid_key(key)
    if is_async(session):
        return _status_async(session, known)
    return look_up(connection_of(session, "status"), known)


async def _status_async(session: "AsyncTransaction", key: str) -> Status | None:
    return await (await async_connection_of(session)).run_sync(look_up, key)


def look_up(connection: sa.Connection, key: str) -> Status | None:
    """Do what `status` does, through a connection."""
    row = connection.execute(_STATUS, {"key": key}).one_or_none()
    if row is None:
        return None
    values = row._asdict()
    return Status(**values | {"state": State(values["state"])})


_STATUS = sa.select(*(messages.c[field.name] for field in dataclasses.fields(Status))).where(
    messages.c.key == sa.bindparam("key", type_=messages.c.key.type)
)
