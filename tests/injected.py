"""A worker into which exceptions are injected from outside: `python -m tests.injected FILE worker -l info …`.

A line of FILE is an order for the supervised thread of that name: `kill NAME` raises SystemExit in it, wherever it is,
and `break NAME` has its function raise from now on. Nothing of ours knows of this.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from pathlib import Path


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


def _obey(file: Path) -> None:
    done = 0
    while True:
        orders = file.read_text().splitlines() if file.exists() else []
        for order in orders[done:]:
            what, _, name = order.partition(" ")
            (kill if what == "kill" else disable)(name)
            print(f"injected: {order}", flush=True)  # noqa: T201
        done = len(orders)
        time.sleep(0.02)


if __name__ == "__main__":
    threading.Thread(target=_obey, args=(Path(sys.argv[1]),), daemon=True).start()
    from celery.__main__ import main

    sys.argv = ["celery", "-A", "worker", *sys.argv[2:]]
    main()
