"""Messages that come by name: the task `smsclick.enqueue`, for producers without our database."""

import logging
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.exc import DataError, IntegrityError

from smsclick.enqueue import store
from smsclick.errors import InvalidMessage, KeyConflict
from worker import deadletters, incidents
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

    A call that cannot be a message is refused for good: it becomes a dead letter, opens an incident and is not
    delivered again.

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
    content = deadletters.call_content(task_id, arguments, positional, expires)
    try:
        # By the database's clock: this machine's may differ from the producer's by any amount.
        message = deadletters.message_of(
            arguments, task_id=task_id, now=runtime.database.clock(), positional=positional, expires=expires
        )
    except InvalidMessage as error:
        _refuse(runtime, task_id, str(error), content)
        return None
    try:
        stored = runtime.database.transact(lambda connection: store(connection, [message]))[0]
    except (DataError, IntegrityError) as error:
        # Told by its type: what the database says may hold the message.
        _refuse(runtime, task_id, f"the database cannot hold it ({type(error.orig).__name__})", content)
        return None
    if stored.conflict:
        _refuse(runtime, task_id, str(KeyConflict(message.key, stored.id)), content)
        return None
    if stored.new and message.send_at is None:
        runtime.bell.send([stored.id])
    return stored.id


def give_up(runtime: Runtime, task_id: str, error: Exception, content: Mapping[str, Any]) -> None:
    """Refuse a call that met a defect of ours: delivered again it would meet it again, for ever.

    Args:
        runtime: this process's.
        task_id: of the call.
        error: what was raised; its text may hold the message, so only its type and its way are told.
        content: of the call, as `deadletters.call_content` gives it.
    """
    way = "".join(traceback.format_tb(error.__traceback__))
    log.error("A call to smsclick.enqueue met a defect. task=%s\n%s", _shown(task_id), way)
    _refuse(runtime, task_id, f"a defect of this program ({type(error).__name__}); its log has more", content)


def _refuse(runtime: Runtime, task_id: str, reason: str, content: Mapping[str, Any]) -> None:
    with runtime.database.begin() as connection:
        letter = deadletters.keep(
            connection, queue="smsclick", task=deadletters.CALL, task_id=task_id, reason=reason, content=content
        )
        told = incidents.report(connection, "bad_call", detail=f"{reason} (task {_shown(task_id)})")
    log.warning(
        "A call to smsclick.enqueue was refused; its content is kept. task=%s reason=%s deadletter=%s",
        _shown(task_id),
        reason,
        letter,
    )
    if told:
        runtime.bell.alerts()


def _shown(task_id: str) -> str:
    return "".join(each for each in task_id[:_SHOWN] if each.isprintable())
