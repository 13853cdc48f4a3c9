"""What no event reports, because nothing happens: each worker process looks for it, also without beat and broker.

Two threads. One checks the database's clock (`worker.database_clock.clock`) every sweep period and, less often, whether
ticks arrive, messages go out and results are recorded, and how many attempts end unknown or absent
(`worker.monitoring.progress_checks`). The other delivers alert events that nobody else delivers, because the tick that
should deliver them comes through the broker.
"""

import logging
import time

from smsclick.errors import SmsclickError
from worker.alerting import delivery
from worker.context import Context
from worker.database_clock import clock
from worker.monitoring import progress_checks
from worker.threads.supervision import SupervisedThread, periodic

log = logging.getLogger(__name__)

CHECK_SECONDS = 15.0
"""Between two looks at what should have happened. Each is a handful of bounded queries."""

LEFT_SECONDS = 15.0
"""An alert that has been due for this long is delivered here."""

UNUSABLE_SECONDS = 300.0
"""A database that this process could not write for this long is told to the channels directly: it holds no alert."""

AGAIN_SECONDS = 4 * 3600.0


class Watchdog:
    """The threads of one process; `start` begins them, `close` ends them.

    Args:
        context: this process's.
        limits: from when on silence is a problem.
    """

    def __init__(self, context: Context, limits: progress_checks.Limits | None = None) -> None:
        self._context = context
        self._silence = progress_checks.ProgressChecks(limits or progress_checks.Limits.of(context.settings))
        self._checked_at = float("-inf")
        self._written_at = time.monotonic()
        self._told_at: float | None = None
        seconds = context.settings.sweep_seconds
        self._threads: tuple[SupervisedThread, ...] = (
            context.threads.add(periodic("smsclick-watch", self.look, seconds, stopping=context.stopping)),
            context.threads.add(periodic("smsclick-alerts", self.deliver, CHECK_SECONDS, stopping=context.stopping)),
        )

    def start(self) -> None:
        """Begin; harmless where they run already."""
        for thread in self._threads:
            thread.start()

    def close(self, seconds: float = 5.0) -> None:
        """Wait for their end, which `context.stopping` asks for."""
        for thread in self._threads:
            thread.join(seconds)

    def look(self) -> None:
        """Check the clock, and what should have happened where that is due."""
        context = self._context
        try:
            context.clock.read(context.database)
            clock.shift(context.database, context.stopping)
            now = time.monotonic()
            if now - self._checked_at >= CHECK_SECONDS:
                self._checked_at = now
                context.database.transact(self._silence.check)
        except SmsclickError as error:
            self._tell_unusable(error)
        else:
            self._tell_usable()

    def deliver(self) -> None:
        """Deliver alerts that nobody has delivered for a while."""
        context = self._context
        try:
            with context.database.read() as connection:
                left = delivery.due(connection, since_seconds=LEFT_SECONDS)
            if left:
                delivery.deliver(context.database, context.channels, context.rng)
        except SmsclickError as error:
            log.debug("Alerts wait for the database. error=%s", type(error).__name__)

    def _tell_unusable(self, error: SmsclickError) -> None:
        now = time.monotonic()
        silent = now - self._written_at
        if silent < UNUSABLE_SECONDS or (self._told_at is not None and now - self._told_at < AGAIN_SECONDS):
            return
        self._told_at = now
        log.error("The database cannot be written. seconds=%.0f error=%s", silent, error)
        delivery.notify_directly(
            self._context.channels,
            "SMSClick: the database cannot be used",
            f"A worker has not been able to write for {silent:.0f} seconds; nothing is sent and nothing is lost. "
            f"See its log and `smsclick doctor`. {error}",
        )

    def _tell_usable(self) -> None:
        self._written_at = time.monotonic()
        if self._told_at is not None:
            self._told_at = None
            log.warning("The database can be written again.")
            delivery.notify_directly(
                self._context.channels, "SMSClick: over: the database cannot be used", "The worker goes on."
            )
