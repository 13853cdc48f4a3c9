"""Messages that come by name: the task `smsclick.enqueue`, for producers without our database."""

import logging
from collections.abc import Mapping
from typing import Any

from smsclick.enqueue import store
from smsclick.errors import InvalidMessage, KeyConflict
from smsclick.message import NewMessage
from worker import incidents
from worker.runtime import Runtime

log = logging.getLogger(__name__)


def accept(runtime: Runtime, task_id: str, arguments: Mapping[str, Any]) -> int | None:
    """Store the message of a call; the task's id is its key where it has none, so a redelivered task is one message.

    A call that cannot be a message is refused for good: it opens an incident and is not delivered again.

    Args:
        runtime: this process's.
        task_id: of the call.
        arguments: the keyword arguments, as `enqueue` has them.

    Returns:
        The message's id, or None where the call was refused.

    Raises:
        DatabaseUnavailable: nothing was stored; the call must stay in the broker.
    """
    try:
        # A key of blanks is none: without the task's id a redelivered call would be a second message.
        blank = {name for name, value in arguments.items() if isinstance(value, str) and not value.strip()}
        given = {name: value for name, value in arguments.items() if value is not None and name not in blank}
        message = NewMessage.from_mapping({"key": task_id} | given)
    except InvalidMessage as error:
        _refuse(runtime, task_id, error)
        return None
    with runtime.database.begin() as connection:
        stored = store(connection, [message])[0]
    if stored.conflict:
        _refuse(runtime, task_id, KeyConflict(message.key, stored.id))
        return None
    if stored.new and message.send_at is None:
        runtime.bell.send([stored.id])
    return stored.id


def _refuse(runtime: Runtime, task_id: str, error: InvalidMessage | KeyConflict) -> None:
    log.warning("A call to smsclick.enqueue was refused. task=%s reason=%s", task_id, error)
    with runtime.database.begin() as connection:
        told = incidents.report(connection, "bad_call", detail=f"{error} (task {task_id})")
    if told:
        runtime.bell.alerts()
