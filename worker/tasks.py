"""The Celery tasks, each a thin call. They carry ids only; retries belong to the rows.

The ticks are passed to this worker's background process (`worker.background.ticks` has what each of them does).
"""

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from celery import Task
from celery.exceptions import Reject
from sqlalchemy.exc import SQLAlchemyError

from smsclick._logs.event_log import EventLog
from smsclick.errors import SmsclickError
from worker.app import app, pump, run_tick, runtime
from worker.background.tick import FROM_BEAT, URGENT, Tick
from worker.broker import echo as broker_echo
from worker.intake import by_name, dead_letters
from worker.threads.log_limit import LimitedLog

log = EventLog(__name__)
_waits = LimitedLog(log)

_GIVE_BACK_SECONDS = 1.0
_NOT_THE_CALLS_FAULT = (SmsclickError, SQLAlchemyError, MemoryError, OSError)
"""Errors that the call did not cause. A call is the only copy of its message, so it stays in the broker."""


def _wakeup(name: str) -> Callable[[Callable[..., None]], Task[..., Any]]:
    """A task whose failure is one log line, because the sweep finds the work again."""

    def decorate(function: Callable[..., None]) -> Task[..., Any]:
        @functools.wraps(function)
        def run(*args: object, **kwargs: object) -> None:
            try:
                function(*args, **kwargs)
            except SmsclickError as error:
                _waits.warning("tick_stopped", error, tick=name)

        return app.task(name=name)(run)

    return decorate


@_wakeup("smsclick.send")
def send(ids: list[int]) -> None:  # noqa: ARG001 - the database decides what is sent next
    """Send all messages that are due."""
    pump().wake()


@_wakeup("smsclick.poll")
def poll(ids: list[int]) -> None:
    """Ask for the status of these messages."""
    run_tick(Tick("poll", tuple(ids)))


@_wakeup("smsclick.follow")
def follow() -> None:
    """Read the reports that are due about sent messages."""
    run_tick(Tick("follow"))


@_wakeup("smsclick.sweep")
def sweep(urgent: bool = False) -> None:  # noqa: FBT001, FBT002 - a task's argument
    """Find due work and do it; beat's are not urgent."""
    run_tick(Tick("sweep", flags=frozenset((URGENT if urgent else FROM_BEAT,))))


@_wakeup("smsclick.reconcile")
def reconcile() -> None:
    """Reconcile attempts of unknown outcome with the report."""
    run_tick(Tick("reconcile"))


@_wakeup("smsclick.lag")
def lag() -> None:
    """Measure the report's lag."""
    run_tick(Tick("lag"))


@_wakeup("smsclick.balance")
def balance() -> None:
    """Probe the balance where that is due."""
    run_tick(Tick("balance"))


@_wakeup("smsclick.alerts")
def alerts() -> None:
    """Deliver the alerts that are due."""
    run_tick(Tick("alerts"))


@_wakeup("smsclick.callbacks")
def callbacks() -> None:
    """Deliver the callbacks that are due."""
    run_tick(Tick("callbacks"))


@_wakeup("smsclick.retention")
def retention() -> None:
    """Erase what is past its retention."""
    run_tick(Tick("retention"))


@_wakeup("smsclick.echo")
def echo(name: str) -> None:
    """Answer a probe of `smsclick doctor`, in this worker's database."""
    broker_echo.answer(runtime().database, name)


@app.task(name="smsclick.enqueue", bind=True, typing=False, acks_late=True, reject_on_worker_lost=True)
def enqueue(self: Any, *args: Any, **arguments: Any) -> None:  # noqa: ANN401 - whatever a producer sends
    """Store a message of a producer without our database."""
    expires = self.request.expires

    def accept(call: str) -> None:
        by_name.accept(runtime(), call, arguments, positional=args, expires=expires)

    _answer(self, accept, lambda call: dead_letters.call_content(call, arguments, args, expires))


@app.task(name="smsclick.cancel", bind=True, typing=False, acks_late=True, reject_on_worker_lost=True)
def cancel(self: Any, *args: Any, **arguments: Any) -> None:  # noqa: ANN401 - as above
    """Withdraw a message of a producer without our database."""

    def accept(call: str) -> None:
        by_name.cancel(runtime(), call, arguments, positional=args)

    _answer(self, accept, lambda call: dead_letters.call_content(call, arguments, args, task=dead_letters.CANCEL))


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
    except Exception as error:  # noqa: BLE001 - logged with its traceback, and not delivered again
        try:
            by_name.give_up(runtime(), call, error, content(call), task=name)
        except Exception as trouble:  # noqa: BLE001 - it could not be kept, so it stays in the broker
            _give_back(name, call, trouble)


def _give_back(name: str, call: str, error: Exception) -> NoReturn:
    log.warning("call_by_name_waits", task_name=name, task=call, error=type(error).__name__)
    time.sleep(_GIVE_BACK_SECONDS)
    raise Reject(requeue=True) from None
