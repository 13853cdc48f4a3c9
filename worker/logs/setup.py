"""Set up the log of a process of ours."""

import logging
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Final

from smsclick._logs.event_log import EventLog
from worker.logs.formats import formatter

log = EventLog(__name__)

TALKATIVE: Final = ("celery.pool", "celery.worker", "kombu", "amqp", "urllib3", "requests", "apprise", "sqlalchemy")
"""Loggers that never log at debug level: there they log whole task messages, with phones, texts and addresses."""


def set_up(log_format: str, process: str, level: int = logging.INFO, file: str | None = None) -> None:
    """Have this process log to stderr, and in our form only.

    Args:
        log_format: `text` or `json`.
        process: what this process is.
        level: of the root logger.
        file: to log to instead of stderr.
    """
    root = logging.getLogger()
    handler = logging.StreamHandler(sys.stderr) if file is None else logging.FileHandler(file, encoding="utf-8")
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    take_over(log_format, process)
    quiet()


def take_over(log_format: str, process: str) -> None:
    """Have the handlers that there are write our form; and errors that nobody handles, too.

    Args:
        log_format: `text` or `json`.
        process: what this process is.
    """
    chosen = formatter(log_format, process)
    for logger in (logging.getLogger(), logging.getLogger("celery.task")):
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.setFormatter(chosen)
    if log_format == "json":
        sys.excepthook = _unhandled
        threading.excepthook = lambda given: _unhandled(given.exc_type, given.exc_value, given.exc_traceback)


def quiet() -> None:
    """Keep loggers that would log contents at debug level from doing so."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLogger(name).getEffectiveLevel()))


def _unhandled(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """Log an error that nobody handled: its type and place, as its words may hold anything."""
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = None if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
    log.error("error_unhandled", error=kind.__name__ if error is None else type(error).__name__, place=place)
