"""The base class of our Celery tasks."""

from typing import Any

from celery import Task


class StrictTask(Task[..., Any]):
    """A task that neither stops the worker by a bad message nor expires by this machine's clock."""

    Strategy = "worker.compat.celery_strategy_errors:strategy"
    Request = "worker.compat.celery_local_expiry:UnexpiringRequest"
