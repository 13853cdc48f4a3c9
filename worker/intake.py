"""Messages that come by name: the task `smsclick.enqueue`, for producers without our database."""

import datetime as dt
import logging
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.exc import DataError, IntegrityError

from smsclick.enqueue import store
from smsclick.errors import InvalidField, InvalidMessage, KeyConflict
from smsclick.message import NewMessage, canonical
from worker import incidents
from worker.runtime import Runtime

log = logging.getLogger(__name__)

_SHOWN = 60
"""Characters of a call's id in the log and in the incident."""


def accept(
    runtime: Runtime,
    task_id: str,
    arguments: Mapping[str, Any],
    *,
    positional: Sequence[object] = (),
    expires: object = None,
) -> int | None:
    """Store the message of a call; the task's id is its key where it has none, so a redelivered task is one message.

    A call that cannot be a message is refused for good: it opens an incident and is not delivered again.

    Args:
        runtime: this process's.
        task_id: of the call.
        arguments: the keyword arguments, as `enqueue` has them.
        positional: other arguments; a call with any is refused.
        expires: Celery's option of the call; the message's validity ends then, where the call says nothing else of it.

    Returns:
        The message's id, or None where the call was refused.

    Raises:
        SmsclickError: (or SQLAlchemy's) nothing was stored for a cause that is not the call's; it must stay in the
            broker.
    """
    try:
        if positional:
            raise InvalidField("it has positional arguments; call with keyword arguments")
        # A key of blanks is none: without the task's id a redelivered call would be a second message.
        blank = {name for name, value in arguments.items() if isinstance(value, str) and not value.strip()}
        given = {name: value for name, value in arguments.items() if value is not None and name not in blank}
        if "key" not in map(canonical, given):
            given["key"] = task_id
        if expires is not None and not {"expires_at", "ttl"} & set(map(canonical, given)):
            given["expires_at"] = _in_utc(expires)
        # By the database's clock: this machine's may differ from the producer's by any amount.
        message = NewMessage.from_mapping(given, now=runtime.database.clock())
    except InvalidMessage as error:
        _refuse(runtime, task_id, str(error))
        return None
    try:
        stored = runtime.database.transact(lambda connection: store(connection, [message]))[0]
    except (DataError, IntegrityError) as error:
        # Told by its type: what the database says may hold the message.
        _refuse(runtime, task_id, f"the database cannot hold it ({type(error.orig).__name__})")
        return None
    if stored.conflict:
        _refuse(runtime, task_id, str(KeyConflict(message.key, stored.id)))
        return None
    if stored.new and message.send_at is None:
        runtime.bell.send([stored.id])
    return stored.id


def give_up(runtime: Runtime, task_id: str, error: Exception) -> None:
    """Refuse a call that met a defect of ours: delivered again it would meet it again, for ever.

    Args:
        runtime: this process's.
        task_id: of the call.
        error: what was raised; its text may hold the message, so only its type and its way are told.
    """
    way = "".join(traceback.format_tb(error.__traceback__))
    log.error("A call to smsclick.enqueue met a defect. task=%s\n%s", _shown(task_id), way)
    _refuse(runtime, task_id, f"a defect of this program ({type(error).__name__}); its log has more")


def _refuse(runtime: Runtime, task_id: str, reason: str) -> None:
    log.warning("A call to smsclick.enqueue was refused. task=%s reason=%s", _shown(task_id), reason)
    with runtime.database.begin() as connection:
        told = incidents.report(connection, "bad_call", detail=f"{reason} (task {_shown(task_id)})")
    if told:
        runtime.bell.alerts()


def _in_utc(expires: object) -> object:
    """Celery's `expires`, which without a zone is in UTC."""
    if isinstance(expires, str):
        try:
            expires = dt.datetime.fromisoformat(expires)
        except ValueError:
            return expires
    return expires.replace(tzinfo=dt.UTC) if isinstance(expires, dt.datetime) and expires.tzinfo is None else expires


def _shown(task_id: str) -> str:
    return "".join(each for each in task_id[:_SHOWN] if each.isprintable())
