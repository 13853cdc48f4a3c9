"""What runs in a worker's or beat's process beside its tasks: sending from the start, and the process's signs of life.

Sending begins with the process and not with the first wake-up: with the broker down there is none.
"""

import logging
import os
import time
from collections.abc import Callable
from typing import Any

from celery import bootsteps

from smsclick.errors import SmsclickError
from worker.broker import consumer_progress
from worker.runtime import Runtime
from worker.sending.pump import Pump
from worker.sql import heartbeat
from worker.threads import liveness
from worker.threads.liveness import LivenessFile
from worker.threads.supervision import Supervisor, ThreadReport, periodic

log = logging.getLogger(__name__)

_ROW_SECONDS = 15.0
_END_SECONDS = 2.0


class WorkerHealth:
    """The threads that show how a worker process is: one writes its file, one its row, and none waits for the other.

    Args:
        runtime: of the process.
        pump: of the process.
        look: sees from time to time whether the consumer leaves messages unread.
    """

    def __init__(self, runtime: Runtime, pump: Pump, look: Callable[[], None] = lambda: None) -> None:
        self._runtime = runtime
        self._pump = pump
        self._look = look
        self._file = LivenessFile("worker", runtime.settings.database_url, self._report)
        self._name = f"worker:{os.uname().nodename}:{os.getpid()}"
        self._own = Supervisor()
        for thread in (
            periodic("smsclick-life", self._write, liveness.WRITE_SECONDS),
            periodic("smsclick-heartbeat", self._beat, _ROW_SECONDS),
            periodic("smsclick-listening", self._listen, consumer_progress.LOOK_SECONDS),
        ):
            self._own.add(thread).start()

    def close(self) -> None:
        """End the threads and remove the file."""
        self._own.stop(_END_SECONDS)
        self._file.close()

    def _report(self) -> list[ThreadReport]:
        # One that is about to end consumes nothing any more.
        consumer = [] if self._runtime.stopping.is_set() else consumer_progress.process.report()
        return [*self._runtime.threads.report(), *self._pump.report(), *consumer]

    def _write(self) -> None:
        self._runtime.threads.revive()
        self._own.revive()
        self._file.write()

    def _listen(self) -> None:
        self._own.revive()  # the thread that revives all others has nobody else
        self._look()

    def _beat(self) -> None:
        """The row in the database, for operators: as old as the process's last progress."""
        if liveness.problems(self._file.sign(), time.monotonic()):
            return
        try:
            heartbeat.beat(self._runtime.database, self._name, self._runtime.recorder.recorded)
        except SmsclickError as error:
            log.debug("The heartbeat was not written. error=%s", type(error).__name__)


class BeatHealth:
    """The thread that shows how beat is.

    Args:
        database_url: of the settings.
        report: how its scheduler is.
    """

    def __init__(self, database_url: str, report: Callable[[], ThreadReport]) -> None:
        self.report = report
        """May be changed: `smsclick up` starts beat again where it ended."""
        self._file = LivenessFile("beat", database_url, lambda: [self.report()])
        self._thread = periodic("smsclick-life", self._file.write, liveness.WRITE_SECONDS)
        self._thread.start()


def sending_step(start: Callable[[], None]) -> type[Any]:
    """A step of Celery's worker that calls `start` before it connects to the broker.

    Args:
        start: is not called in the parent of forked children, which send by themselves.
    """

    class Sending(bootsteps.StartStopStep):
        """Begin to send."""

        requires = ("celery.worker.components:Pool",)

        def start(self, parent: Any) -> None:  # noqa: ANN401 - Celery's worker
            if not parent.pool_cls.__module__.endswith("prefork"):
                start()

    return Sending
