"""The log of a process whose logging Celery sets up: in our form, with a line for its start and its stop."""

import logging
from collections.abc import Callable
from typing import Any, Final

from celery import signals

from smsclick._logs.event_log import EventLog
from smsclick.settings import get_settings
from worker.broker import log_filter
from worker.compat import celery_stop_words
from worker.logs import setup

log = EventLog(__name__)

_PER_TASK: Final = ("celery.app.trace", "celery.worker.strategy", "celery.beat")
"""These log one or two lines for each task, and our own lines say the same."""


def install(process: Callable[[], str]) -> None:
    """Render what this process logs, from the time when Celery sets up its logging.

    Args:
        process: returns what this process is.
    """

    def take_over(**_: Any) -> None:  # noqa: ANN401
        log_filter.install()
        setup.take_over(get_settings().log_format, process())
        for name in _PER_TASK:
            logging.getLogger(name).setLevel(logging.WARNING)
        setup.quiet()

    for each in (signals.after_setup_logger, signals.after_setup_task_logger):
        each.connect(take_over, weak=False)
    signals.celeryd_init.connect(lambda instance=None, **_: _begin(process(), instance), weak=False)
    signals.worker_ready.connect(lambda **_: log.info("worker_started"), weak=False)
    signals.worker_shutting_down.connect(lambda **_: log.info("worker_stopping"), weak=False)
    signals.beat_init.connect(lambda **_: log.info("beat_started"), weak=False)


def _begin(process: str, instance: Any) -> None:  # noqa: ANN401 - Celery's worker
    """Render what is logged before Celery sets up its logging; keep its banner and last words out of a log of JSON."""
    setup.set_up(get_settings().log_format, process, logging.WARNING)
    if get_settings().log_format == "json":
        instance.quiet = True
        celery_stop_words.install()
