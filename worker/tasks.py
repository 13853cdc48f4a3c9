"""The Celery tasks, each a thin call of a plain function. They carry ids only and own no retries: the rows do."""

import functools
import logging
import random
import time
from collections.abc import Callable
from typing import Any

from celery import Task
from celery.exceptions import Reject

from smsclick.errors import DatabaseUnavailable, SmsclickError
from worker import alerts as alerting
from worker import balance as balances
from worker import heartbeat, intake
from worker import lag as lagging
from worker import poll as polling
from worker import reconcile as reconciling
from worker import retention as retaining
from worker import send as sending
from worker import sweep as sweeping
from worker.app import app, pulse, runtime

log = logging.getLogger(__name__)

_GIVE_BACK_SECONDS = 1.0


def _doorbell(name: str) -> Callable[[Callable[..., None]], Task[..., Any]]:
    """A task whose failure is one log line: whatever it did not do is found by the sweep."""

    def decorate(function: Callable[..., None]) -> Task[..., Any]:
        @functools.wraps(function)
        def run(*args: object, **kwargs: object) -> None:
            try:
                function(*args, **kwargs)
                pulse()
            except SmsclickError as error:
                log.warning("%s stopped: %s", name, error)

        return app.task(name=name)(run)

    return decorate


@_doorbell("smsclick.send")
def send(ids: list[int]) -> None:
    """Send these messages, then whatever else is due."""
    sending.send(runtime(), ids)


@_doorbell("smsclick.poll")
def poll(ids: list[int]) -> None:
    """Ask for the status of these messages."""
    polling.poll(runtime(), ids)


@_doorbell("smsclick.sweep")
def sweep(urgent: bool = False) -> None:  # noqa: FBT001, FBT002 - a task's argument
    """Find what is due and ring for it."""
    sweeping.sweep(runtime(), urgent=urgent)


@_doorbell("smsclick.reconcile")
def reconcile() -> None:
    """Settle attempts of unknown outcome by the report."""
    reconciling.reconcile(runtime())


@_doorbell("smsclick.lag")
def lag() -> None:
    """Measure the report's lag."""
    lagging.measure(runtime())


@_doorbell("smsclick.balance")
def balance() -> None:
    """Probe the balance where that is due."""
    balances.probe(runtime())


@_doorbell("smsclick.alerts")
def alerts() -> None:
    """Deliver the alerts that are due."""
    held = runtime()
    alerting.deliver(held.database, held.channels, random.Random())


@_doorbell("smsclick.retention")
def retention() -> None:
    """Erase what is past its retention."""
    held = runtime()
    if heartbeat.take(held.database, "retention", 3600):
        retaining.erase(held.database, held.settings.retention_days, stopping=held.stopping)


@app.task(name="smsclick.enqueue", bind=True, typing=False, acks_late=True, reject_on_worker_lost=True)
def enqueue(self: Any, *args: Any, **arguments: Any) -> None:  # noqa: ANN401 - whatever a producer sends
    """Store a message of a producer without our database.

    The call is the only copy until it is stored: acknowledged late, and given back to the broker while the database is
    away.
    """
    if args:
        arguments = {"phone": None, "text": None, "positional arguments": "use keyword arguments"}
    try:
        intake.accept(runtime(), str(self.request.id), arguments)
        pulse()
    except DatabaseUnavailable as error:
        log.warning("A call to smsclick.enqueue waits for the database. task=%s error=%s", self.request.id, error)
        time.sleep(_GIVE_BACK_SECONDS)
        raise Reject(requeue=True) from None
