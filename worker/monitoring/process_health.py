"""The threads that show a process's health, and the step that starts sending with the worker.

Sending starts with the process and not with the first wake-up, because no wake-up arrives while the broker is down.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from smsclick._logs.event_log import EventLog
from smsclick.errors import SmsclickError
from worker.broker import consumer_progress
from worker.sql import heartbeat
from worker.threads import liveness
from worker.threads.liveness import LivenessFile
from worker.threads.supervision import Supervisor, ThreadReport, periodic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.context import Context

log = EventLog(__name__)

HEARTBEAT_SECONDS = 15.0
"""Between two writes of a process's heartbeat row."""

_STOP_SECONDS = 2.0
"""The longest wait for the threads' end."""


def heartbeat_name(role: str, pid: int) -> str:
    """The name of a process's heartbeat row, such as `worker:HOST:PID`."""
    return f"{role}:{os.uname().nodename}:{pid}"


class WorkerHealth:
    """Shows a worker process's health: threads write its liveness file and heartbeat row, and check the consumer.

    The threads do not wait for each other: the file is written also while the database or the broker is silent.

    Args:
        context: of the process.
        check_consumer: checks whether the consumer leaves messages unread.
        tick_threads: returns the state of the threads that run ticks, which may be another process's.
    """

    def __init__(
        self,
        context: Context,
        check_consumer: Callable[[], None] = lambda: None,
        tick_threads: Callable[[], Sequence[ThreadReport]] = list,
    ) -> None:
        self._context = context
        self._check_consumer = check_consumer
        self._tick_threads = tick_threads
        self._file = LivenessFile("worker", context.settings.database_url, self._report)
        self._name = heartbeat_name("worker", os.getpid())
        self._own = Supervisor()
        for thread in (
            periodic("smsclick-liveness", self._write, liveness.WRITE_SECONDS),
            periodic("smsclick-heartbeat", self._beat, HEARTBEAT_SECONDS),
            periodic("smsclick-consumer-check", self._check, consumer_progress.LOOK_SECONDS),
        ):
            self._own.add(thread).start()

    def close(self) -> None:
        """End the threads and remove the file."""
        self._own.stop(_STOP_SECONDS)
        self._file.close()

    def _report(self) -> list[ThreadReport]:
        # A process that is about to end no longer consumes.
        consumer = [] if self._context.stopping.is_set() else consumer_progress.process.report()
        return [*self._context.threads.report(), *self._tick_threads(), *consumer]

    def _write(self) -> None:
        self._context.threads.revive()
        self._own.revive()
        self._file.write()

    def _check(self) -> None:
        self._own.revive()  # nothing else restarts the thread that restarts all others
        self._check_consumer()

    def _beat(self) -> None:
        """Write the heartbeat row, for operators; its age is the time since the process's last progress."""
        if liveness.problems(self._file.current(), time.monotonic()):
            return
        try:
            heartbeat.beat(self._context.database, self._name, self._context.recorder.recorded)
        except SmsclickError as error:
            log.debug("heartbeat_not_written", error=type(error).__name__)


class BeatHealth:
    """The health of beat: a thread that writes its liveness file.

    Args:
        database_url: of the settings.
        report: returns the state of its scheduler.
    """

    def __init__(self, database_url: str, report: Callable[[], ThreadReport]) -> None:
        self.report = report
        """Replaced when `smsclick up` starts beat again."""
        self._file = LivenessFile("beat", database_url, lambda: [self.report()])
        self._thread = periodic("smsclick-liveness", self._file.write, liveness.WRITE_SECONDS)
        self._thread.start()


def sending_step(start: Callable[[], None]) -> type[Any]:
    """A step of Celery's worker that calls `start` before it connects to the broker.

    Args:
        start: starts sending. Not called in the parent of forked children: each child starts sending itself.
    """
    from celery import bootsteps  # noqa: PLC0415 - a background process has no Celery

    class Sending(bootsteps.StartStopStep):
        """Start sending."""

        requires = ("celery.worker.components:Pool",)

        def start(self, parent: Any) -> None:  # noqa: ANN401 - Celery's worker
            if not parent.pool_cls.__module__.endswith("prefork"):
                start()

    return Sending
