"""Calls by name, from producers without our database: `smsclick.enqueue` and `smsclick.cancel`."""

import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.exc import DataError, IntegrityError

from smsclick._enqueue.message import canonical, valid_key
from smsclick._enqueue.status import look_up
from smsclick._enqueue.store import store
from smsclick._enqueue.withdrawal import withdraw
from smsclick._logs.event_log import EventLog
from smsclick.contract import State
from smsclick.errors import InvalidField, InvalidMessage, KeyConflict
from worker.alerting import incidents
from worker.alerting.details import Detail, made, shown
from worker.alerting.wording import DetailCode
from worker.context import Context
from worker.intake import dead_letters

log = EventLog(__name__)

_ID_CHARACTERS_SHOWN = 60
"""How much of a call's id the log and the incident show."""

_MESSAGE_WAIT_SECONDS = 2.0
"""How long a cancel waits for its message: another worker may be storing it."""

_LOOK_SECONDS = 0.2
"""Between two looks for that message."""


def accept(
    context: Context,
    task_id: str,
    arguments: Mapping[str, Any],
    *,
    positional: Sequence[object] = (),
    expires: object = None,
) -> int | None:
    """Store the message of a call.

    A call without a key gets the task's id as its key, so a redelivered call is one message.

    An invalid call is refused: it becomes a dead letter, an incident is reported, and the broker does not deliver it
    again.

    Args:
        context: of this process.
        task_id: of the call.
        arguments: the keyword arguments, those of `smsclick.enqueue()`.
        positional: other arguments; a call with any is refused.
        expires: Celery's option of the call; it ends the message's validity if the arguments do not.

    Returns:
        The message's id, or None where the call was refused.

    Raises:
        SmsclickError: (or SQLAlchemy's) nothing was stored, and the call is not the cause; it must stay in the broker.
    """
    content = dead_letters.call_content(task_id, arguments, positional, expires)
    try:
        # By the database's clock: this machine's may differ from the producer's by any amount.
        message = dead_letters.message_of(
            arguments, task_id=task_id, now=context.database.clock(), positional=positional, expires=expires
        )
    except InvalidMessage as error:
        _refuse(context, task_id, str(error), content, _refused(error))
        return None
    try:
        stored = context.database.transact(lambda connection: store(connection, [message]))[0]
    except (DataError, IntegrityError) as error:
        # Only the error's type: the database's text may hold the message.
        why = made(DetailCode.NOT_STORED, error=type(error.orig).__name__)
        _refuse(context, task_id, shown(why, "en"), content, why)
        return None
    if stored.conflict:
        conflict = KeyConflict(message.key, stored.id)
        _refuse(context, task_id, str(conflict), content, _refused(conflict))
        return None
    if stored.new and message.send_at is None:
        context.wakeups.send([stored.id])
    return stored.id


def cancel(context: Context, task_id: str, arguments: Mapping[str, Any], *, positional: Sequence[object] = ()) -> bool:
    """Withdraw the message of a call; if it cannot be withdrawn or does not exist, that is logged.

    Args:
        context: of this process.
        task_id: of the call.
        arguments: its keyword arguments: `key`.
        positional: other arguments; a call with any is refused, as `accept` refuses it.

    Returns:
        Whether it was withdrawn.

    Raises:
        SmsclickError: (or SQLAlchemy's) nothing was done, and the call is not the cause; it must stay in the broker.
    """
    try:
        key = _key_of(arguments, positional)
    except InvalidMessage as error:
        content = dead_letters.call_content(task_id, arguments, positional, task=dead_letters.CANCEL)
        _refuse(context, task_id, str(error), content, _refused(error), task=dead_letters.CANCEL)
        return False
    look_until = time.monotonic() + _MESSAGE_WAIT_SECONDS
    while True:
        withdrawn = context.database.transact(lambda connection: withdraw(connection, key))
        with context.database.read() as connection:
            found = look_up(connection, key)
        # A message that still waits was stored, or released by a worker, just now: try again.
        over = withdrawn or (found is not None and found.state is not State.QUEUED)
        if over or time.monotonic() >= look_until:
            break
        time.sleep(_LOOK_SECONDS)
    if withdrawn:
        log.info(
            "message_withdrawn", message_id=found and found.id, attempt=found and found.attempts, task=_shown(task_id)
        )
    else:
        log.warning(
            "withdrawal_refused",
            message_id=found and found.id,
            attempt=found and found.attempts,
            state=found and found.state,
            task=_shown(task_id),
        )
    return withdrawn


def _key_of(arguments: Mapping[str, Any], positional: Sequence[object]) -> str:
    if positional:
        raise InvalidField("it has positional arguments; call with keyword arguments")
    named = {canonical(name): value for name, value in arguments.items()}
    if len(named) != len(arguments) or set(named) != {"key"}:
        raise InvalidField("a cancel has the keyword argument key and no other")
    return valid_key(named["key"])


def give_up(
    context: Context, task_id: str, error: Exception, content: Mapping[str, Any], *, task: str = dead_letters.CALL
) -> None:
    """Refuse a call that fails because of a defect of ours: delivered again, it would fail again.

    Args:
        context: of this process.
        task_id: of the call.
        error: what was raised; its text may hold the message, so only its type and its traceback are logged.
        content: of the call, from `dead_letters.call_content`.
        task: the task that was called.
    """
    trace = "".join(traceback.format_tb(error.__traceback__))
    log.error("call_by_name_failed", task_name=task, task=_shown(task_id), error=type(error).__name__, trace=trace)
    why = made(DetailCode.DEFECT, error=type(error).__name__)
    _refuse(context, task_id, shown(why, "en"), content, why, task=task)


def _refused(error: InvalidMessage | KeyConflict) -> Detail:
    """Why a call is refused, by its code: its dead letter has the sentence."""
    refusal = error.refusal
    return made(DetailCode.REFUSED, refusal=": ".join(filter(None, (refusal.field, refusal.code))))


def _refuse(
    context: Context,
    task_id: str,
    reason: str,
    content: Mapping[str, Any],
    why: Detail,
    *,
    task: str = dead_letters.CALL,
) -> None:
    with context.database.begin() as connection:
        letter = dead_letters.keep(
            connection, queue="smsclick", task=task, task_id=task_id, reason=reason, content=content
        )
        incidents.report(connection, "bad_call", detail=made(DetailCode.BAD_CALL, why=why, task=_shown(task_id)))
    log.warning("call_by_name_refused", task_name=task, task=_shown(task_id), reason=reason, deadletter=letter)


def _shown(task_id: str) -> str:
    return "".join(each for each in task_id[:_ID_CHARACTERS_SHOWN] if each.isprintable())
