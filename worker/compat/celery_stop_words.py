"""Celery 5.7.0: a worker that is to stop says so on the terminal, outside of its log.

Fault: `celery.apps.worker.safe_say` writes "worker: Warm shutdown (MainProcess)" to the process's own stdout or stderr,
whatever `--quiet` and the logging say. Where each line of a worker is JSON, that line cannot be read.

Workaround: `install` has it write nothing. Our own event `worker_stopping` says the same.

Remove it when tests/integration/test_logs.py passes without it.
"""

from typing import Any

from celery.apps import worker


def install() -> None:
    """Have Celery say nothing outside of its log."""
    program: Any = worker
    program.safe_say = lambda *_: None
