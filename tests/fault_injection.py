"""A worker into which exceptions are injected from outside: `python -m tests.fault_injection FILE worker -l info …`.

Each line of FILE is an order. `kill NAME` raises SystemExit in the supervised thread of that name, wherever it is;
`end NAME` ends the thread although it is supervised; `break NAME` makes its function raise from now on.
`consumer hang` makes the consumer sleep, `consumer cancel` cancels its queues, and `consumer stalled` makes it wait for
nothing any more. `pump claims` makes the pump loop without claims, and `pump calls` makes it claim and make no call.
The code of the worker does not know of this.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smsclick._threads.supervised import SupervisedThread


def supervised(name: str) -> SupervisedThread:
    """This process's thread of that name, once there is one."""
    while True:
        app = sys.modules.get("worker.app")  # which the main thread may be importing
        held, life = getattr(app, "_runtime", None), getattr(app, "_life", None)
        if held is not None and life is not None:
            threads: list[SupervisedThread] = [*held.threads._threads, *life._own._threads]
            for thread in threads:
                if thread.name == name and thread.is_alive:
                    return thread
        time.sleep(0.02)


def kill(name: str) -> None:
    """Raise SystemExit in the thread, wherever it is, until its function has ended with it."""
    thread = supervised(name)
    before = thread.restarts

    def failed() -> bool:
        return thread.restarts != before or not thread.is_alive

    while not failed():
        assert thread._thread is not None
        # Not seen: one that comes while an object is being finalized is swallowed by Python.
        ident = ctypes.c_ulong(thread._thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(SystemExit))
        end = time.monotonic() + 10
        while not failed() and time.monotonic() < end:
            time.sleep(0.02)


def end(name: str) -> None:
    """End the thread itself, as a second exception does that comes while the first one is handled."""
    thread = supervised(name)
    died = thread._thread

    def fail(_: BaseException) -> None:
        del vars(thread)["_note_failure"]
        raise SystemExit

    vars(thread)["_note_failure"] = fail
    kill(name)
    assert died is not None
    died.join()


def disable(name: str) -> None:
    """Have the thread's function fail whenever it is called."""

    def fail() -> None:
        raise ValueError(name)

    supervised(name)._target = fail
    kill(name)


_consumers: list[Any] = []


def spoil_consumer(what: str) -> None:
    """Break the consumer in its own thread."""
    [consumer] = _consumers
    spoil = {
        "hang": lambda: time.sleep(3600),
        "cancel": consumer.task_consumer.cancel,
        # Nobody polls its connections any more, although kombu still lists them as polled.
        "stalled": consumer.connection.transport.cycle._channels.clear,
    }[what]
    consumer.hub.call_soon(spoil)


def idle_pump(what: str) -> None:
    """Have the pump's threads run on, and do nothing of what they are for."""
    pump: Any = getattr(sys.modules["worker.app"], "_pump")  # noqa: B009 - a module of its own for the type checker
    if what == "claims":
        vars(pump)["_room"] = lambda: 0
    else:
        vars(pump._calls)["_advance"] = lambda: None


def _obey(file: Path) -> None:
    done = 0
    while True:
        orders = file.read_text().splitlines() if file.exists() else []
        for order in orders[done:]:
            what, _, name = order.partition(" ")
            {"kill": kill, "end": end, "break": disable, "consumer": spoil_consumer, "pump": idle_pump}[what](name)
            print(f"injected: {order}", flush=True)  # noqa: T201
        done = len(orders)
        time.sleep(0.02)


if __name__ == "__main__":
    from celery import signals
    from celery.__main__ import main

    from worker.broker import consumer_progress
    from worker.sending import pump_progress
    from worker.threads import liveness

    threading.Thread(target=_obey, args=(Path(sys.argv[1]),), daemon=True).start()
    signals.worker_ready.connect(lambda sender, **_: _consumers.append(sender), weak=False)
    # In the same order as in production, but sooner: the tests wait for each of them.
    consumer_progress.LOOK_SECONDS = 1.0
    consumer_progress._ANSWER_VALID_SECONDS = 5.0
    consumer_progress.STALLED_SECONDS = 15.0
    pump_progress.LOOK_SECONDS = 1.0
    pump_progress.STALLED_SECONDS = 15.0
    liveness.WRITE_SECONDS = 1.0
    sys.argv = ["celery", "-A", "worker", *sys.argv[2:]]
    main()
