"""Counts the module borders that one message crosses: `.venv/bin/python scripts/crossings.py [--list]`.

A message with a webhook is enqueued, sent, found delivered by its status check, and its callbacks are delivered, in
this process, on SQLite and against the simulator. Every call from one module into another is watched. A border is a
pair of modules (caller and callee) of the message's way: the producer's side, the steps and the state machine. What
serves every row alike is not part of the way and not counted: drivers and sessions, settings, value types, SQL tools
and threads. A function that calls back through such a module counts as called by the module that passed it on. What a
thread or an event loop runs by itself has no caller: whether a reply of a socket comes in the loop's time or before
would else change the count.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import sqlalchemy as sa

from smsclick import enqueue
from smsclick.contract import messages
from smsclick.simulator import Simulator
from tests.conftest import migrate
from tests.factories import KEY, RecordingWakeups, settings
from tests.processes import wait_until
from tests.webhook_receiver import SECRET, Hook
from worker.runtime import Runtime
from worker.sending.pump import Pump
from worker.tracking import by_status

if TYPE_CHECKING:
    from types import FrameType
    from typing import Self

SERVICES = (
    "smsclick._broker",
    "smsclick._database",
    "smsclick._net",
    "smsclick._threads",
    "smsclick._values",
    "smsclick.contract",
    "smsclick.errors",
    "smsclick.provider.codes",
    "smsclick.provider.results",
    "smsclick.settings",
    "smsclick.simulator",
    "worker.callbacks.call",
    "worker.lifecycle.attempt",
    "worker.lifecycle.effects",
    "worker.lifecycle.fingerprint",
    "worker.lifecycle.message_rows",
    "worker.lifecycle.model",
    "worker.lifecycle.policy",
    "worker.lifecycle.tallied",
    "worker.metrics",
    "worker.traces",
    "smsclick._enqueue.tracing",
    "worker.queue.odd_rows",
    "worker.runtime",
    "worker.sending.call_metrics",
    "worker.sending.pump_progress",
    "worker.sql",
    "worker.threads",
)
"""Modules that serve every row alike, count for the metrics, write spans, judge a process, or hold only values."""

ONE = ("smsclick.provider",)
"""Packages with one door, counted as one module: the message's way does not depend on what is behind it."""


class Watch:
    """The calls between modules of the way, of all threads, while it is installed."""

    def __init__(self) -> None:
        self.crossings: Counter[tuple[str, str]] = Counter()

    def __enter__(self) -> Self:
        threading.setprofile_all_threads(self._profile) if hasattr(threading, "setprofile_all_threads") else None
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def _profile(self, frame: FrameType, event: str, _argument: object) -> None:
        if event != "call" or frame.f_code.co_name in {"<module>", "<lambda>"}:
            return
        callee = _module(frame)
        if not callee:
            return
        caller, above = "", frame.f_back
        while above is not None and not caller and not _is_loop(above):
            caller = _module(above)
            above = above.f_back
        if caller and caller != callee:
            self.crossings[caller, callee] += 1


def _module(frame: FrameType) -> str:
    name: str = frame.f_globals.get("__name__", "")
    if not name.startswith(("smsclick", "worker")) or name.startswith(SERVICES):
        return ""
    return next((package for package in ONE if name.startswith(package)), name)


def _is_loop(frame: FrameType) -> bool:
    name: str = frame.f_globals.get("__name__", "")
    return name in {"asyncio.events", "asyncio.runners"}


def main() -> int:
    """Runs one message through, and prints what it crossed."""
    parser = argparse.ArgumentParser(prog="scripts/crossings.py", description=__doc__)
    parser.add_argument("--list", action="store_true", help="every border, in the order of the first crossing")
    options = parser.parse_args()
    watch = Watch()
    with (
        tempfile.TemporaryDirectory() as folder,
        Hook() as receiver,
        Simulator(api_key=KEY, delivery_seconds=0) as provider,
    ):
        url = migrate(f"sqlite:///{folder}/crossings.db")
        with watch:
            runtime = Runtime.start(
                settings(
                    url,
                    provider.base_url,
                    SMSCLICK_POLL_SECONDS="1",
                    SMSCLICK_WEBHOOK_ALLOW_PRIVATE=True,
                    SMSCLICK_WEBHOOK_SECRET=SECRET,
                ),
                RecordingWakeups(),
                calls=4,
            )
            watch.crossings.clear()
            _one_message(runtime, receiver)
        runtime.close()
    modules = {module for pair in watch.crossings for module in pair}
    if options.list:
        for caller, callee in watch.crossings:
            print(f"{caller} -> {callee}")
    print(f"{len(watch.crossings)} borders, {len(modules)} modules")
    return 0


def _one_message(runtime: Runtime, receiver: Hook) -> None:
    engine = sa.create_engine(runtime.database.engine.url)
    with engine.begin() as connection:
        enqueue(connection, phone="5551402211", text="Tu pedido va en camino", callback=receiver.url)
    pump = Pump(runtime, 4)
    pump.wake()
    wait_until(lambda: _state(runtime) == "sent", 30, what="the message to be sent")
    with runtime.database.begin() as connection:  # as if the wait for its first status check were over
        connection.execute(sa.update(messages).values(due_at=messages.c.created_at))
    by_status.poll(runtime, [1])
    wait_until(lambda: _state(runtime) == "delivered", 30, what="the message to be delivered")
    runtime.callback_dispatcher.deliver(runtime.stopping)
    pump.close()
    engine.dispose()


def _state(runtime: Runtime) -> Any:  # noqa: ANN401 - a column's value
    with runtime.database.read() as connection:
        return connection.scalar(sa.select(messages.c.state))


if __name__ == "__main__":
    raise SystemExit(main())
