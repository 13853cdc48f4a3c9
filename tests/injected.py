"""A worker into which exceptions are injected from outside: `python -m tests.injected FILE worker -l info …`.

A line of FILE is an order for the supervised thread of that name: `kill NAME` raises SystemExit in it, wherever it is,
and `break NAME` has its function raise from now on. `consumer WHAT` has the consumer `hang`, `cancel` its queues, or
be `deaf`, which is to wait for nothing any more. Nothing of ours knows of this.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from pathlib import Path
from typing import Any


def kill(name: str) -> None:
    """Raise SystemExit in each thread of this name; its next line of Python is its last."""
    for thread in threading.enumerate():
        if thread.name == name and thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))


def disable(name: str) -> None:
    """Have the thread's function fail whenever it is called."""
    from worker.app import runtime  # noqa: PLC0415 - only once the worker has begun

    def fail() -> None:
        raise ValueError(name)

    for thread in runtime().threads._threads:
        if thread.name == name:
            thread._target = fail
    kill(name)


_consumers: list[Any] = []


def spoil_consumer(what: str) -> None:
    """Break the consumer in its own thread."""
    [consumer] = _consumers
    spoil = {
        "hang": lambda: time.sleep(3600),
        "cancel": consumer.task_consumer.cancel,
        # Its connections are polled no more, and kombu believes that they are.
        "deaf": consumer.connection.transport.cycle._channels.clear,
    }[what]
    consumer.hub.call_soon(spoil)


def _obey(file: Path) -> None:
    done = 0
    while True:
        orders = file.read_text().splitlines() if file.exists() else []
        for order in orders[done:]:
            what, _, name = order.partition(" ")
            {"kill": kill, "break": disable, "consumer": spoil_consumer}[what](name)
            print(f"injected: {order}", flush=True)  # noqa: T201
        done = len(orders)
        time.sleep(0.02)


if __name__ == "__main__":
    threading.Thread(target=_obey, args=(Path(sys.argv[1]),), daemon=True).start()
    from celery import signals
    from celery.__main__ import main

    from worker import listening

    signals.worker_ready.connect(lambda sender, **_: _consumers.append(sender), weak=False)
    # Sooner than in production; each test of it goes by these too.
    listening.LOOK_SECONDS = 1.0
    listening.STALLED_SECONDS = 48.0
    sys.argv = ["celery", "-A", "worker", *sys.argv[2:]]
    main()
