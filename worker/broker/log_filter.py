"""Keep message contents out of Celery's log lines.

Celery logs the whole body and headers of a message that it cannot handle. They may hold a phone and a text.
"""

import logging

from smsclick._logs.event_log import into_event
from worker.broker.trouble import reason

_LOGGERS = ("celery.worker.consumer.consumer", "celery.worker.request")
_PREFIXES_WITH_TRACEBACK = ("Couldn't ack", "Couldn't reject")
_PREFIXES_WITH_CONTENT = (
    "Received and deleted unknown",
    "Received unregistered",
    "Received invalid",
    "Can't decode",
    "Couldn't convert ETA",
)


def install() -> None:
    """Replace the log lines that show a message's content by lines that do not, from now on."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_without_content)


def _without_content(record: logging.LogRecord) -> bool:
    """Rewrite a record in place; always True, so that it is logged."""
    if str(record.msg).startswith(_PREFIXES_WITH_CONTENT):
        cause = record.args[0] if isinstance(record.args, tuple) and record.args else None
        name = type(cause).__name__ if isinstance(cause, BaseException) else "unknown message"
        into_event(record, "task_unknown", reason=name)
        record.exc_info = record.exc_text = None
    elif str(record.msg).startswith(_PREFIXES_WITH_TRACEBACK):
        error = record.exc_info[1] if record.exc_info else None
        into_event(record, "acknowledgement_failed", reason=reason(error) if error else "unknown")
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.exc_info = record.exc_text = None
    return True
