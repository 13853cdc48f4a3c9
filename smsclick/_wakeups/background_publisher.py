"""A bell that is rung in the background: it never blocks or fails whoever rings it.

A bounded queue and one daemon thread stand between the caller and the broker, and a breaker for when that fails. What
is lost here costs time and never a message: the sweep finds it.
"""

import contextlib
import dataclasses
import logging
import queue
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from smsclick._net.certificates import tls_reason
from smsclick._threads.supervised import SupervisedThread

log = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
"""How long the bell stays silent after the broker failed; twice as long after each further time."""

_LONGEST_PAUSE_SECONDS = 30.0
_QUEUE = 1000
_WATCH_SECONDS = 0.0005
_COMMIT_SECONDS = 10.0

T = TypeVar("T")


class Watched(Protocol):
    """A transaction whose commit has begun; SQLAlchemy's are."""

    @property
    def is_active(self) -> bool:
        """Whether it is still going on."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Queued(Generic[T]):
    what: T
    after: Watched | None
    until: float


class BackgroundPublisher(Generic[T]):
    """The queue and its thread, with a breaker: while the broker fails, one ring in a pause tries it anew.

    Args:
        publish: tells the broker; whatever it raises counts as a failure of the broker.
        pause: seconds of the first pause.

    The thread is supervised. Where none can be started now, the next `put` tries again.
    """

    def __init__(self, publish: Callable[[T], None], *, pause: float = PAUSE_SECONDS) -> None:
        self._publish = publish
        self._first_pause = pause
        self._queue: queue.Queue[_Queued[T]] = queue.Queue(_QUEUE)
        self._pause = 0.0
        self._paused_until = 0.0
        self._thread = SupervisedThread("smsclick-doorbell", self._run)
        self._thread.start()

    def put(self, what: T, after: Watched | None = None) -> None:
        """Queue a ring; dropped where the queue is full, no thread can be started, and while the broker fails.

        Args:
            what: to publish.
            after: once this transaction is over; None: now.
        """
        now = time.monotonic()
        if self._thread.start() and now >= self._paused_until:
            self._put(_Queued(what, after, now + _COMMIT_SECONDS))

    def flush(self, seconds: float) -> bool:
        """Wait for what is queued, at most so long; whether all of it was done."""
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
            # The commit is on its way to the database. To the end of the queue, so that no other waits for it.
            self._put(wake)
            time.sleep(_WATCH_SECONDS)

    def _try(self, what: T) -> None:
        try:
            self._publish(what)
        except Exception as error:  # noqa: BLE001 - kombu raises whatever its transport does; nothing depends on it
            if not self._pause:
                log.warning(
                    "The doorbell did not ring; the sweep will find the messages. error=%s",
                    tls_reason(error) or type(error).__name__,
                )
            self._pause = min(2 * self._pause or self._first_pause, _LONGEST_PAUSE_SECONDS)
            self._paused_until = time.monotonic() + self._pause
        else:
            if self._pause:
                log.info("The doorbell rings again.")
            self._pause = 0.0
