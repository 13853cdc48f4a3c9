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
    """What is known of a message; its phone and its text are not repeated here.

    Attributes:
        id: of the row.
        key: of its producer.
        state: where it stands.
        id_mensaje: the provider's id, once it was accepted.
        estatus_mensaje: the provider's status, 0 to 4.
        attempts: how often it was tried to send it.
        credits_used: as the provider said.
        last_code: the provider's last code.
        last_error: why it was refused, or why it waits; may repeat a part of the text.
        created_at: when it was enqueued; all times are aware and in UTC.
        send_at: not before.
        expires_at: not after.
        sent_at: when the provider accepted it.
        final_at: when it came to its end.
        reply: the recipient's words.
        replied_at: when they came.
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
    """What is known of a message, as the caller's transaction sees it.

    Args:
        session: as for `enqueue`; with one of SQLAlchemy's asyncio extension the call is awaited.
        key: the message's.

    Returns:
        None where no message has this key.

    Raises:
        InvalidField: nothing can have such a key.
    """
    known = valid_key(key)
    if is_async(session):
        return _status_async(session, known)
    return look_up(connection_of(session, "status"), known)


async def _status_async(session: "AsyncTransaction", key: str) -> Status | None:
    return await (await async_connection_of(session)).run_sync(look_up, key)


def look_up(connection: sa.Connection, key: str) -> Status | None:
    """As `status`, by a connection."""
    row = connection.execute(_STATUS, {"key": key}).one_or_none()
    if row is None:
        return None
    values = row._asdict()
    return Status(**values | {"state": State(values["state"])})


_STATUS = sa.select(*(messages.c[field.name] for field in dataclasses.fields(Status))).where(
    messages.c.key == sa.bindparam("key", type_=messages.c.key.type)
)
