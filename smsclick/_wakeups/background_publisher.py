"""Publish wake-ups in the background, so that the caller is never blocked and never gets an error.

A bounded queue and one daemon thread stand between the caller and the broker. A circuit breaker stops publishing for a
while after the broker failed. Losing a wake-up costs time and never a message: the sweep finds it.
"""

import contextlib
import dataclasses
import queue
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from smsclick._logs.event_log import EventLog
from smsclick._net.certificates import tls_reason
from smsclick._threads.supervised import SupervisedThread

log = EventLog(__name__)

PAUSE_SECONDS = 1.0
"""How long nothing is published after the broker failed; doubled after each further failure."""

_LONGEST_PAUSE_SECONDS = 30.0
_QUEUE_SIZE = 1000
_WATCH_SECONDS = 0.0005
"""Between two looks at a transaction whose commit is under way."""

_COMMIT_SECONDS = 10.0
"""How long a wake-up waits for the end of its transaction; then it is dropped."""

T = TypeVar("T")


class Watched(Protocol):
    """A transaction whose commit has begun; SQLAlchemy's are."""

    @property
    def is_active(self) -> bool:
        """Whether the commit has not ended yet."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Queued(Generic[T]):
    what: T
    after: Watched | None
    until: float


class BackgroundPublisher(Generic[T]):
    """The queue, its thread and its circuit breaker: after each pause, one wake-up tries the broker again.

    The thread is supervised. If no thread can be started now, the next `put` tries again.

    Args:
        publish: publishes to the broker; any exception counts as a failure of the broker.
        pause: length of the first pause, in seconds.
    """

    def __init__(self, publish: Callable[[T], None], *, pause: float = PAUSE_SECONDS) -> None:
        self._publish = publish
        self._first_pause = pause
        self._queue: queue.Queue[_Queued[T]] = queue.Queue(_QUEUE_SIZE)
        self._pause = 0.0
        self._paused_until = 0.0
        self._thread = SupervisedThread("smsclick-wakeups", self._run)
        self._thread.start()

    def put(self, what: T, after: Watched | None = None) -> None:
        """Queue a wake-up. It is dropped if the queue is full or no thread can be started, and during a pause.

        Args:
            what: the content to publish.
            after: publish once this transaction is over; None publishes now.
        """
        now = time.monotonic()
        if self._thread.start() and now >= self._paused_until:
            self._put(_Queued(what, after, now + _COMMIT_SECONDS))

    def flush(self, seconds: float) -> bool:
        """Wait until the queue is empty, at most so many seconds; return whether it is empty."""
        end = time.monotonic() + seconds
        while self._queue.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.005)
        return not self._queue.unfinished_tasks

    def _put(self, wake: _Queued[T]) -> None:
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(wake)

    def _run(self) -> None:
        while True:
            wake = self._queue.get()
            try:
                self._look(wake)
            finally:
                self._queue.task_done()

    def _look(self, wake: _Queued[T]) -> None:
        now = time.monotonic()
        if now < self._paused_until:
            return
        if wake.after is None or not wake.after.is_active:
            self._try(wake.what)
        elif now < wake.until:
            # The commit is under way. Back to the end of the queue, so that no other wake-up waits for this one.
            self._put(wake)
            time.sleep(_WATCH_SECONDS)

    def _try(self, what: T) -> None:
        try:
            self._publish(what)
        except Exception as error:  # noqa: BLE001 - kombu raises the errors of its transports; no message depends on a wake-up
            if not self._pause:
                log.warning("wakeup_not_published", error=tls_reason(error) or type(error).__name__)
            self._pause = min(2 * self._pause or self._first_pause, _LONGEST_PAUSE_SECONDS)
            self._paused_until = time.monotonic() + self._pause
        else:
            if self._pause:
                log.info("wakeups_again")
            self._pause = 0.0
