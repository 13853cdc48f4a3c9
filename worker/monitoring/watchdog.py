"""Two threads of each worker process that work also without beat and broker.

One checks the database's clock (`worker.database_clock.clock`) every sweep period and, less often, that there is
progress (`worker.monitoring.progress_checks`). The other delivers alert events that nobody else delivers, because the
tick that should deliver them comes through the broker.
"""

import time

from smsclick._logs.event_log import EventLog
from smsclick.errors import SmsclickError
from worker.alerting import delivery, texts
from worker.context import Context
from worker.database_clock import clock
from worker.monitoring import progress_checks
from worker.threads.supervision import SupervisedThread, periodic

log = EventLog(__name__)

CHECK_SECONDS = 15.0
"""Between two runs of the progress checks. Each is a handful of bounded queries."""

OVERDUE_SECONDS = 15.0
"""An alert event that has been due for this long, by default, is delivered by the watchdog."""

UNUSABLE_SECONDS = 300.0
"""After this long without a write to the database, the channels are notified directly: it cannot store an alert."""

REMIND_SECONDS = 4 * 3600.0
"""Between two such notifications."""


class Watchdog:
    """The threads of one process; `start` begins them, `close` ends them.

    Args:
        context: of this process.
        limits: of the progress checks; from the settings by default.
        overdue_seconds: an alert event that has been due for this long is delivered here.
    """

    def __init__(
        self,
        context: Context,
        limits: progress_checks.Limits | None = None,
        *,
        overdue_seconds: float = OVERDUE_SECONDS,
    ) -> None:
        self._context = context
        self._overdue_seconds = overdue_seconds
        self._progress_checks = progress_checks.ProgressChecks(limits or progress_checks.Limits.of(context.settings))
        self._style = texts.Style.of(context.settings)
        self._checked_at = float("-inf")
        self._written_at = time.monotonic()
        self._notified_at: float | None = None
        seconds = context.settings.sweep_seconds
        self._threads: tuple[SupervisedThread, ...] = (
            context.threads.add(periodic("smsclick-watch", self.look, seconds, stopping=context.stopping)),
            context.threads.add(periodic("smsclick-alerts", self.deliver, CHECK_SECONDS, stopping=context.stopping)),
        )

    def start(self) -> None:
        """Start the threads; harmless if they run."""
        for thread in self._threads:
            thread.start()

    def close(self, seconds: float = 5.0) -> None:
        """Wait for the threads' end, which `context.stopping` asks for; at most `seconds` for each."""
        for thread in self._threads:
            thread.join(seconds)

    def look(self) -> None:
        """Check the database's clock and, where that is due, the progress."""
        context = self._context
        try:
            context.clock.read(context.database)
            clock.shift(context.database, context.stopping)
            now = time.monotonic()
            if now - self._checked_at >= CHECK_SECONDS:
                self._checked_at = now
                context.database.transact(self._progress_checks.check)
        except SmsclickError as error:
            self._note_unusable(error)
        else:
            self._note_usable()

    def deliver(self) -> None:
        """Deliver overdue alert events."""
        context = self._context
        try:
            with context.database.read() as connection:
                overdue = delivery.due(connection, since_seconds=self._overdue_seconds)
            if overdue:
                delivery.deliver(context.database, context.channels, context.rng, self._style)
        except SmsclickError as error:
            log.debug("alerts_wait", error=type(error).__name__)

    def _note_unusable(self, error: SmsclickError) -> None:
        now = time.monotonic()
        unusable = now - self._written_at
        if unusable < UNUSABLE_SECONDS or (self._notified_at is not None and now - self._notified_at < REMIND_SECONDS):
            return
        self._notified_at = now
        log.error("database_unwritable", seconds=round(unusable), error=error)
        delivery.notify_directly(self._context.channels, texts.database_unusable(self._style, unusable, str(error)))

    def _note_usable(self) -> None:
        self._written_at = time.monotonic()
        if self._notified_at is not None:
            self._notified_at = None
            log.warning("database_writable")
            delivery.notify_directly(self._context.channels, texts.database_usable(self._style))
