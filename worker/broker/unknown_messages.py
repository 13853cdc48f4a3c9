"""Messages in our queues that are no calls of ours: each costs one log line that shows nothing of it.

The consumer keeps their content (worker.intake.dead_letters).

Celery itself would show the whole body and headers, which may hold a phone and a text, and a body of another shape than
its protocol's would end the worker, and the next one that gets it.
"""

import contextlib
import logging
from collections.abc import Callable
from typing import Any

from celery import Celery, Task
from celery.exceptions import InvalidTaskError
from celery.worker import state
from celery.worker.strategy import default
from kombu.exceptions import ContentDisallowed, DecodeError

from worker.alerting import incidents
from worker.broker.trouble import reason
from worker.intake import dead_letters

_LOGGERS = ("celery.worker.consumer.consumer", "celery.worker.request")
_SHOWS_TRACEBACK = ("Couldn't ack", "Couldn't reject")
_SHOWS_CONTENT = (
    "Received and deleted unknown",
    "Received unregistered",
    "Received invalid",
    "Can't decode",
    "Couldn't convert ETA",
)


class StrictTask(Task[..., Any]):
    """The base of our tasks."""

    Strategy = "worker.broker.unknown_messages:strategy"
    Request = "worker.compat.unexpiring:UnexpiringRequest"


def strategy(task: Task[..., Any], app: Celery, consumer: Any, **options: Any) -> Callable[..., Any]:  # noqa: ANN401
    """Celery's own, but an error in it costs no call: the message stays in the broker, or its content is kept."""
    handle: Callable[..., Any] = default(task, app, consumer, **options)

    def checked(message: Any, *rest: Any, **more: Any) -> Any:  # noqa: ANN401
        try:
            return handle(message, *rest, **more)
        except (InvalidTaskError, DecodeError, ContentDisallowed):
            raise
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            # Its own shape, or a defect: it would come back for ever. The consumer keeps its content.
            _forget(message)
            raise InvalidTaskError(f"{task.name}: {type(error).__name__}") from None
        except Exception as error:  # noqa: BLE001 - what it is, the log says; the message is not lost
            # The environment's: no thread, no memory. Nothing is proven against the message.
            _forget(message)
            consumer.give_back(message, error)

    return checked


def _forget(message: Any) -> None:  # noqa: ANN401
    """Celery counts a call as reserved before it hands it over; on Redis it stops consuming when too many are."""
    with contextlib.suppress(Exception):
        state.requests.pop(message.headers["id"], None)


def put_away(message: Any, why: str) -> int | None:  # noqa: ANN401 - kombu's
    """Keep the content of a message that is no call of ours; an operator hears of a call that was meant for us.

    Args:
        message: kombu's.
        why: in words of ours.

    Returns:
        The dead letter's id; None for wake-ups and ticks, which carry nothing that the database does not know.

    Raises:
        SmsclickError: (or SQLAlchemy's) it could not be kept.
    """
    from worker.app import runtime  # noqa: PLC0415 - the app is made with this module

    content = dead_letters.broker_content(message)
    task, task_id = _named(message)
    if task.startswith("smsclick.") and task not in dead_letters.CALLS:
        return None
    held = runtime()
    with held.database.begin() as connection:
        queue = str((message.delivery_info or {}).get("routing_key") or "")
        letter = dead_letters.keep(connection, queue=queue, task=task, task_id=task_id, reason=why, content=content)
        told = task in dead_letters.CALLS and incidents.report(connection, "bad_call", detail=why)
    if told:
        held.wakeups.alerts()
    return letter


def _named(message: Any) -> tuple[str, str]:  # noqa: ANN401 - kombu's
    """The names of its task and of its call, as far as it has them."""
    headers = message.headers if isinstance(message.headers, dict) else {}
    found: Any = headers
    if "task" not in headers:  # protocol 1 has them in its body
        with contextlib.suppress(Exception):
            found = message.payload
    if not isinstance(found, dict):
        return "", ""
    return str(found.get("task") or ""), str(found.get("id") or "")


def hide_contents() -> None:
    """Keep bodies and headers out of the log, from now on."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_without_content)


def _without_content(record: logging.LogRecord) -> bool:
    if str(record.msg).startswith(_SHOWS_CONTENT):
        why = record.args[0] if isinstance(record.args, tuple) and record.args else None
        what = type(why).__name__ if isinstance(why, BaseException) else "unknown message"
        record.msg, record.args = "A message that is no call of ours was dropped. reason=%s", (what,)
        record.exc_info = record.exc_text = None
    elif str(record.msg).startswith(_SHOWS_TRACEBACK):
        error = record.exc_info[1] if record.exc_info else None
        record.msg = "A message could not be acknowledged; the broker may deliver it again. reason=%s"
        record.args = (reason(error) if error else "unknown",)
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.exc_info = record.exc_text = None
    return True
