"""Messages in our queues that are no calls of ours: each costs one log line that shows nothing of it, and is dropped.

Celery itself would show the whole body and headers, which may hold a phone and a text, and a body of another shape than
its protocol's would end the worker, and the next one that gets it.
"""

import logging
from collections.abc import Callable
from typing import Any

from celery import Celery, Task
from celery.exceptions import InvalidTaskError
from celery.worker.strategy import default

from worker.broker_trouble import reason

_LOGGERS = ("celery.worker.consumer.consumer", "celery.worker.request")
_SHOWS_TRACEBACK = ("Couldn't ack", "Couldn't reject")
_SHOWS_CONTENT = ("Received and deleted unknown", "Received unregistered", "Received invalid", "Can't decode")


class StrictTask(Task[..., Any]):
    """The base of our tasks."""

    Strategy = "worker.strangers:strategy"
    Request = "worker.unexpiring:UnexpiringRequest"


def strategy(task: Task[..., Any], app: Celery, consumer: Any, **options: Any) -> Callable[..., Any]:  # noqa: ANN401
    """Celery's own, but a body that cannot be taken apart is an invalid message and nothing worse."""
    handle: Callable[..., Any] = default(task, app, consumer, **options)

    def checked(*message: Any, **rest: Any) -> Any:  # noqa: ANN401
        try:
            return handle(*message, **rest)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise InvalidTaskError(f"{task.name}: {type(error).__name__}") from None

    return checked


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
