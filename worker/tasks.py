"""The Celery tasks, each a thin call of a plain function. They carry ids only and own no retries: the rows do."""

import functools
import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from celery import Task
from celery.exceptions import Reject
from sqlalchemy.exc import SQLAlchemyError

from smsclick.errors import SmsclickError
from worker import alerts as alerting
from worker import balance as balances
from worker import callbacks as telling
from worker import deadletters, doctor_broker, heartbeat, intake
from worker import follow as following
from worker import lag as lagging
from worker import poll as polling
from worker import reconcile as reconciling
from worker import retention as retaining
from worker import sweep as sweeping
from worker.app import app, pump, runtime
from worker.log_limit import LimitedLog

log = logging.getLogger(__name__)
_waits = LimitedLog(log)

_GIVE_BACK_SECONDS = 1.0
_NOT_THE_CALLS_FAULT = (SmsclickError, SQLAlchemyError, MemoryError, OSError)
"""What says nothing about a call, which is the only copy of its message: it stays in the broker."""


def _doorbell(name: str) -> Callable[[Callable[..., None]], Task[..., Any]]:
    """A task whose failure is one log line: whatever it did not do is found by the sweep."""

    def decorate(function: Callable[..., None]) -> Task[..., Any]:
        @functools.wraps(function)
        def run(*args: object, **kwargs: object) -> None:
            try:
                function(*args, **kwargs)
            except SmsclickError as error:
                _waits.warning("%s stopped: %s", error, name)

        return app.task(name=name)(run)

    return decorate


@_doorbell("smsclick.send")
def send(ids: list[int]) -> None:  # noqa: ARG001 - a wake-up's; what goes next is the database's affair
    """Send whatever is due."""
    pump().ring()


@_doorbell("smsclick.poll")
def poll(ids: list[int]) -> None:
    """Ask for the status of these messages."""
    polling.poll(runtime(), ids)


@_doorbell("smsclick.follow")
def follow() -> None:
    """Read the reports that are due about sent messages."""
    following.follow(runtime())


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


@_doorbell("smsclick.callbacks")
def callbacks() -> None:
    """Tell producers what they are to hear."""
    held = runtime()
    if held.courier.deliver(held.stopping, held.bell.alerts):
        held.bell.callbacks()


@_doorbell("smsclick.echo")
def echo(name: str) -> None:
    """Answer a probe of `smsclick doctor`, in this worker's database."""
    doctor_broker.echo(runtime().database, name)


@_doorbell("smsclick.retention")
def retention() -> None:
    """Erase what is past its retention."""
    held = runtime()
    if heartbeat.take(held.database, "retention", 3600):
        retaining.erase(
            held.database,
            held.settings.retention_days,
            tracking_seconds=held.settings.tracking_seconds,
            stopping=held.stopping,
        )
        # A callback's record repeats what the provider said, so it does not outlive the message's own.
        deadletters.purge(held.database, min(30, held.settings.retention_days or 30))
        telling.purge(held.database, min(30, held.settings.retention_days or 30))


@app.task(name="smsclick.enqueue", bind=True, typing=False, acks_late=True, reject_on_worker_lost=True)
def enqueue(self: Any, *args: Any, **arguments: Any) -> None:  # noqa: ANN401 - whatever a producer sends
    """Store a message of a producer without our database."""
    expires = self.request.expires

    def accept(call: str) -> None:
        intake.accept(runtime(), call, arguments, positional=args, expires=expires)

    _answer(self, accept, lambda call: deadletters.call_content(call, arguments, args, expires))


@app.task(name="smsclick.cancel", bind=True, typing=False, acks_late=True, reject_on_worker_lost=True)
def cancel(self: Any, *args: Any, **arguments: Any) -> None:  # noqa: ANN401 - as above
    """Withdraw a message of a producer without our database."""

    def accept(call: str) -> None:
        intake.cancel(runtime(), call, arguments, positional=args)

    _answer(self, accept, lambda call: deadletters.call_content(call, arguments, args, task=deadletters.CANCEL))


def _answer(task: Any, accept: Callable[[str], None], content: Callable[[str], Mapping[str, Any]]) -> None:  # noqa: ANN401
    """Do what a producer's call asks for.

    The call is the only copy until it is stored: acknowledged late, and given back to the broker while the database is
    away.
    """
    call, name = str(task.request.id), str(task.name)
    try:
        accept(call)
    except _NOT_THE_CALLS_FAULT as error:
        _give_back(name, call, error)
    except Exception as error:  # noqa: BLE001 - told with its way, and not delivered again
        try:
            intake.give_up(runtime(), call, error, content(call), task=name)
        except Exception as trouble:  # noqa: BLE001 - it could not be kept, so it stays in the broker
            _give_back(name, call, trouble)


def _give_back(name: str, call: str, error: Exception) -> NoReturn:
    log.warning("A call to %s waits for the database. task=%s error=%s", name, call, type(error).__name__)
    time.sleep(_GIVE_BACK_SECONDS)
    raise Reject(requeue=True) from None
