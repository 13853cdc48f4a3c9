"""Beat's scheduler: it measures its periods by the monotonic clock, and continues whatever the broker answers.

Celery's own scheduler logs some hundred lines for each tick that the broker does not accept, and publishes forever to a
queue that nobody reads. Why ticks carry no `expires`: docs/decisions/0026-no-clock-of-another-machine.md.
"""

import contextlib
import time
from typing import Any

from celery import beat

from smsclick._logs.event_log import EventLog
from smsclick._wakeups.backlog import Backlog
from worker.broker.trouble import reason
from worker.compat.celery_beat_wall_clock import MonotonicEntry
from worker.threads.supervision import ThreadReport

log = EventLog(__name__)

UNREAD_TICKS_LIMIT = 20
"""While this many ticks wait in a queue, beat sends no more to it."""

BEATS_WITHIN_SECONDS = 60.0
"""The longest time between two rounds of a healthy scheduler; Celery's loop takes a second."""

LOG_INTERVAL_SECONDS = 60.0
"""While the broker does not accept ticks, each reason is logged once in this time."""

_Scheduler: Any = beat.Scheduler  # its stub lacks half of what a subclass needs


class Scheduler(_Scheduler):  # type: ignore[misc]
    """Celery's scheduler in memory, with the differences described in the module's docstring."""

    Entry = MonotonicEntry
    # Without a producer here, Celery does not connect before `apply_entry`, where an error would end beat.
    producer = None

    def __init__(self, *args: Any, **rest: Any) -> None:  # noqa: ANN401 - Celery's
        super().__init__(*args, **rest)
        self._publisher: Any = None
        self._failed_since: float | None = None
        self._logged_at: dict[str, float] = {}
        self._ticked_at = time.monotonic()
        self._waits_for: str | None = None
        self._backlog = Backlog(self.app.conf.broker_url, self._open_channel, most=UNREAD_TICKS_LIMIT)

    def tick(self, *args: Any, **rest: Any) -> Any:  # noqa: ANN401 - Celery's
        """Send the due ticks, and note that beat makes progress."""
        self._ticked_at = time.monotonic()
        return super().tick(*args, **rest)

    def report(self) -> ThreadReport:
        """Beat's state for health checks; waiting for the broker is not a fault."""
        idle = time.monotonic() - self._ticked_at
        return ThreadReport(
            "beat", alive=True, idle_seconds=idle, waits_for=self._waits_for, beats_within=BEATS_WITHIN_SECONDS
        )

    def apply_entry(self, entry: Any, producer: Any = None) -> None:  # noqa: ANN401, ARG002 - Celery's
        """Publish a due tick; one that the broker does not accept is skipped, because the next one follows soon."""
        self._waits_for = "broker"
        try:
            queue = self.app.amqp.router.route({}, entry.task)["queue"].name
            if self._backlog.is_full(queue):
                return
            if self._publisher is None:
                self._publisher = self.Producer(self._open_channel(), auto_declare=False)
            self.apply_async(entry, producer=self._publisher, advance=False)
        except Exception as error:  # noqa: BLE001 - beat must survive any error of the broker or its library
            self._failed(error)
        else:
            if self._failed_since is not None:
                log.warning("beat_broker_again", seconds=round(time.monotonic() - self._failed_since))
            self._failed_since = None
        finally:
            self._waits_for = None

    def close(self) -> None:
        """Release the connection."""
        self._disconnect()
        super().close()

    def _open_channel(self) -> Any:  # noqa: ANN401 - kombu's
        if "connection" not in self.__dict__:
            self.connection = self.app.connection_for_write()
        # Not `default_channel`, which would try to connect forever.
        return self.connection.channel()

    def _failed(self, error: Exception) -> None:
        self._disconnect()
        now = time.monotonic()
        if self._failed_since is None:
            self._failed_since = now
        why = reason(error)
        if now - self._logged_at.get(why, float("-inf")) >= LOG_INTERVAL_SECONDS:
            self._logged_at[why] = now
            log.warning("beat_broker_unusable", reason=why, seconds=round(now - self._failed_since))

    def _disconnect(self) -> None:
        self._publisher = None
        self._backlog.forget()
        connection = self.__dict__.pop("connection", None)
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.collect(socket_timeout=1)
