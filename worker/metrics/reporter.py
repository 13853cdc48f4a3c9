"""The thread that writes what a process counted, every few seconds, and merges the rows of all processes."""

import os
import random
import time
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick._logs.event_log import EventLog
from worker.metrics import tallies, worker_gauges
from worker.metrics.process_metrics import ProcessMetrics
from worker.threads.supervision import Supervisor, periodic

if TYPE_CHECKING:
    from collections.abc import Callable

log = EventLog(__name__)

WRITE_SECONDS: Final = 5.0
"""Between two writes; a killed process loses what it counted in memory for so long."""


class Reporter:
    """Writes the metrics of one process, from `start` until `close`.

    Args:
        database: where the tables are.
        metrics: of this process.
        threads: the process's, which start the thread again where that is needed.
    """

    def __init__(self, database: Database, metrics: ProcessMetrics, threads: Supervisor) -> None:
        self._database = database
        self._metrics = metrics
        self._worker = f"worker:{os.uname().nodename}:{os.getpid()}"
        self._rng = random.Random()
        self._merge_at = time.monotonic() + tallies.merge_seconds(self._rng)
        self._thread = periodic("smsclick-metrics", self.write, WRITE_SECONDS)
        self._threads = threads
        self._written = False
        self.merged_elsewhere: Callable[[], bool] = lambda: False
        """Whether a background process merges, so that this one need not."""

    def start(self) -> None:
        """Start the thread; called once."""
        self._threads.add(self._thread).start()

    def close(self) -> None:
        """Write the rest. The thread itself is ended by the process's `Supervisor`."""
        self._thread.stop()
        self._write(last=True)  # on a database that does not answer, what was counted is lost

    def write(self) -> None:
        """Write what was counted since the last time, and merge if that is due and nobody else does it."""
        self._write(last=False)
        if not self.merged_elsewhere():
            self.merge_if_due()

    def merge_if_due(self) -> None:
        """Merge the rows of all processes, every half minute or so. It raises nothing."""
        if time.monotonic() >= self._merge_at:
            self._merge_at = time.monotonic() + tallies.merge_seconds(self._rng)
            try:
                while tallies.merge(self._database):
                    pass
            except Exception as error:  # noqa: BLE001 - another process, or the next time
                log.debug("tallies_not_merged", error=type(error).__name__)

    def _write(self, *, last: bool) -> None:
        counted = self._metrics.take()
        if last and not counted and not self._written:
            return

        def work(connection: sa.Connection) -> None:
            tallies.add(connection, counted)
            if last:
                worker_gauges.remove(connection, self._worker)
            else:
                worker_gauges.write(connection, self._worker, self._metrics.gauges())

        try:
            self._database.transact(work)
            self._written = True
        except Exception as error:  # noqa: BLE001 - whatever a database raises, the figures wait
            self._metrics.give_back(counted)
            log.debug("metrics_not_written", error=type(error).__name__)
