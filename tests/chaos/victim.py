"""A worker, a beat or an `up` that kills itself where the runner says: `python -m tests.chaos.victim worker …`.

Production code has no hooks for this: the real functions are wrapped here, and then the real program runs. An order is
a line in the file of CHAOS_ORDERS, "in_flight 3": die at the third passing of that point from now on.

A worker's background process is armed too, and takes its worker with it when it dies at a point.

CHAOS_CLOCK_OFF shifts the process's wall clock by so many seconds. CHAOS_TASKS=1 has it write a line for each task that
it receives. CHAOS_DEFECT breaks the system on purpose, to show that the judge notices.
"""

import datetime as dt
import functools
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

POINTS = {
    "claiming": "within the claim's transaction",
    "claimed": "after the claim's commit, before anything else",
    "leaving": "before the request leaves",
    "in_flight": "while the request is in flight",
    "answered": "after the answer, before its record",
    "recording": "within the record's transaction",
    "recorded": "after the record's commit, before anybody knows",
    "report_read": "after a report was read, before its verdict is recorded",
    "reconciling": "within the transaction that records the verdict on unknown attempts",
    "polled": "after a status was asked, or a report of them read, before it is recorded",
}
"""Where a process can be ordered to die."""

DEFECTS = ("resend-at-once", "no-lease-recovery")
"""What CHAOS_DEFECT may be."""

BACKGROUND = "background"
"""The role of a worker's background process."""

READY = "chaos: ready"
"""What a process writes when it takes work."""

RECEIVED = "chaos: received"
"""What it writes when the broker gave it a task, with the time by the clock that no program can shift."""

_IN_FLIGHT_SECONDS = 0.06
"""The longest time a request is in flight before its process dies: arrived or not, answered or not."""


class _Orders:
    """The file with the current order, and how often its point was passed."""

    def __init__(self, file: Path, worker: int | None) -> None:
        self._file = file
        self._worker = worker
        self._lock = threading.Lock()
        self._order = ""
        self._passed = 0

    def here(self, point: str, delay: float = 0.0) -> None:
        """Die at the ordered passing of the ordered point."""
        try:
            order = self._file.read_text()
        except FileNotFoundError:
            return
        with self._lock:
            if order != self._order:
                self._order, self._passed = order, 0
            wanted, _, passing = order.partition(" ")
            self._passed += wanted == point
            if wanted != point or self._passed < int(passing or 1):
                return
        time.sleep(delay)
        os.write(2, f"chaos: killed at {point}\n".encode())
        if self._worker is not None:
            os.kill(self._worker, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


def main(role: str, arguments: list[str]) -> None:
    """Becomes the program."""
    if role == BACKGROUND:
        _become_background(arguments)
        return
    off = float(os.environ.get("CHAOS_CLOCK_OFF", "0"))
    if off:
        _shift_clock(off)
    # Only now: what is imported takes the clock as it finds it.
    from celery import signals  # noqa: PLC0415

    signals.worker_ready.connect(lambda **_: os.write(1, f"{READY}\n".encode()), weak=False)
    if os.environ.get("CHAOS_TASKS"):

        def received(**_: object) -> None:
            os.write(1, f"{RECEIVED} {time.clock_gettime(time.CLOCK_MONOTONIC)}\n".encode())

        signals.task_received.connect(received, weak=False)
    if role == "up":
        _arm()
        from worker.embedded import up  # noqa: PLC0415

        up(simulate=False, log_level="info", on_ready=lambda _settings: None)
        return
    # Beat has none of the points, and must not start a worker's threads.
    if role == "worker":
        _arm()
    from celery.__main__ import main as celery  # noqa: PLC0415

    sys.argv = ["celery", "-A", "worker", role, *arguments]
    celery()


def _become_background(arguments: list[str]) -> None:
    off = float(os.environ.get("CHAOS_CLOCK_OFF", "0"))
    if off:
        _shift_clock(off)
    _arm(worker=os.getppid())
    from worker import background_process  # noqa: PLC0415

    os._exit(background_process.main(arguments))


def _arm(worker: int | None = None) -> None:
    from smsclick._database import engine  # noqa: PLC0415
    from smsclick.provider import async_sender  # noqa: PLC0415
    from smsclick.provider._async_http import connection  # noqa: PLC0415
    from worker.account import status_check  # noqa: PLC0415
    from worker.background import process  # noqa: PLC0415
    from worker.lifecycle.policy import Released  # noqa: PLC0415
    from worker.queue import claims  # noqa: PLC0415
    from worker.reconciliation import reading, reconcile  # noqa: PLC0415
    from worker.sending import attempts, recorder  # noqa: PLC0415
    from worker.sending.results import Recorded  # noqa: PLC0415
    from worker.tracking import by_report  # noqa: PLC0415

    here = _Orders(Path(os.environ["CHAOS_ORDERS"]), worker).here
    _around(process, "program", lambda _: (sys.executable, "-m", "tests.chaos.victim", BACKGROUND))

    _after(claims, "claim", lambda claimed: claimed and here("claiming"))
    _after(attempts, "claim", lambda batch: batch.claims and here("claimed"))

    def leaving(real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        here("leaving")
        return real(*args, **kwargs)

    _around(async_sender.AsyncSender, "send", leaving)
    # Only `sendMsg` goes this way; it returns when the system has the request.
    _after(connection.Connection, "begin", lambda _: here("in_flight", random.uniform(0, _IN_FLIGHT_SECONDS)))

    def answered(real: Callable[..., Any], recorder: Any, ended: Any, *done: Any) -> Any:  # noqa: ANN401
        if not isinstance(ended.outcome, Released):
            here("answered")
        return real(recorder, ended, *done)

    _around(recorder.Recorder, "submit", answered)
    _after(recorder, "record_results", lambda _: here("recording"))
    _after(engine.Database, "transact", lambda result: isinstance(result, Recorded) and here("recorded"))
    _after(reading, "_read", lambda _: here("report_read"))
    _after(reconcile, "_record", lambda _: here("reconciling"))
    _after(status_check, "ask", lambda _: here("polled"))
    _after(by_report, "_read_slice", lambda _: here("polled"))
    _break(os.environ.get("CHAOS_DEFECT", ""))


def _break(defect: str) -> None:
    """What a system without our care does."""
    from worker.lifecycle import on_report  # noqa: PLC0415
    from worker.queue import expired_leases  # noqa: PLC0415

    if defect == "resend-at-once":
        from dataclasses import replace  # noqa: PLC0415

        from smsclick._values.causes import Cause  # noqa: PLC0415
        from smsclick.contract import State  # noqa: PLC0415
        from worker.lifecycle.model import Change, Note  # noqa: PLC0415

        def resend(_real: Callable[..., Any], message: Any, _token: str, _seen: Any, now: Any, *_: Any) -> Any:  # noqa: ANN401
            if message.state is not State.UNKNOWN:
                return None
            queued = replace(message, state=State.QUEUED, due_at=now, token=None, wire_key=None, unknown_since=None)
            return Change(message, queued, Note(Cause.ABSENT_FROM_REPORT))

        _around(on_report, "after_report", resend)
    elif defect == "no-lease-recovery":
        _around(expired_leases, "expire_leases", lambda _real, _connection, _limit: [])
    elif defect:
        raise SystemExit(f"CHAOS_DEFECT: one of {', '.join(DEFECTS)}")


def _around(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:  # noqa: ANN401 - a module or a class
    real = getattr(owner, name)

    @functools.wraps(real)
    def run(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        return wrapper(real, *args, **kwargs)

    setattr(owner, name, run)


def _after(owner: Any, name: str, then: Callable[[Any], object]) -> None:  # noqa: ANN401
    def wrapper(real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        result = real(*args, **kwargs)
        then(result)
        return result

    _around(owner, name, wrapper)


def _shift_clock(seconds: float) -> None:
    """Wall clocks only: what measures durations goes on, as on a machine whose date is wrong."""
    real_time, real = time.time, dt.datetime

    class Looks(type):
        """The C code makes datetimes of the real class, which must pass for ours."""

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, real)

    class Shifted(real, metaclass=Looks):  # type: ignore[misc, valid-type]
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:  # noqa: ANN401
            return real.fromtimestamp(time.time(), tz)

        @classmethod
        def utcnow(cls) -> Any:  # noqa: ANN401
            return real.fromtimestamp(time.time(), dt.UTC).replace(tzinfo=None)

    time.time = lambda: real_time() + seconds
    Shifted.__name__, Shifted.__qualname__, Shifted.__module__ = "datetime", "datetime", "datetime"
    dt.datetime = Shifted  # type: ignore[misc]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
