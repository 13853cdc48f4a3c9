"""Whether this process's consumer receives messages from the broker: it can stall while the process lives and sends.

A process that waits for a broker that is away is healthy. Three facts are collected for that:

- the consumer's loop runs, and consumes from all queues that it should;
- while nothing was received for a while, a look over a connection of its own finds no unread message in these queues;
- a missing fact counts only for as long as such looks find that the broker answers.

Why: docs/decisions/0043-a-stalled-consumer-is-the-processs-own-fault.md.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from smsclick._logs.event_log import EventLog
from worker.threads.supervision import ThreadReport

log = EventLog(__name__)

LOOK_SECONDS = 15.0
"""Between two looks at the broker while nothing is received."""

STALLED_SECONDS = 60.0
"""A consumer without progress for this long has stalled."""

_ANSWER_VALID_SECONDS = 3 * LOOK_SECONDS
"""A broker that answered within this time counts as one that answers: a look may be slow."""

_LOOP_CHECK_SECONDS = 1.0
"""Between two checks of what the consumer's loop consumes."""


class ConsumerProgress:
    """The progress of one process's consumer. All methods are cheap, and safe from any thread.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._loop_ran_at: float | None = None
        self._received_at = float("-inf")
        self._unread_since: float | None = None
        self._answers_since = 0.0
        self._answered_at = float("-inf")

    @property
    def loop_check_due(self) -> bool:
        """Whether to check again that the loop consumes from its queues."""
        return self._loop_ran_at is None or self._clock() - self._loop_ran_at >= _LOOP_CHECK_SECONDS

    @property
    def look_due(self) -> bool:
        """Whether a consumer that has started has received nothing for a while."""
        return self._loop_ran_at is not None and self._clock() - self._received_at >= LOOK_SECONDS

    def loop_ran(self) -> None:
        """Note that the loop ran and consumes from its queues, or that it has just tried to connect."""
        self._loop_ran_at = self._clock()

    def received(self) -> None:
        """Note that a message arrived."""
        with self._lock:
            self._loop_ran_at = self._received_at = self._clock()
            self._unread_since = None

    def looked(self, *, answered: bool, unread: bool = False) -> None:
        """Note the result of a look at the broker.

        Args:
            answered: whether the broker answered.
            unread: whether the queues hold messages although this process has free threads.
        """
        with self._lock:
            now = self._clock()
            if not answered or now - self._answered_at > _ANSWER_VALID_SECONDS:
                self._answers_since = now
            self._answered_at = now if answered else float("-inf")
            if not unread:
                self._unread_since = None
            elif self._unread_since is None and now - self._received_at >= LOOK_SECONDS:
                self._unread_since = now

    def report(self) -> list[ThreadReport]:
        """The consumer's state for health checks; empty where this process has no consumer."""
        with self._lock:
            if self._loop_ran_at is None:
                return []
            now = self._clock()
            since = self._loop_ran_at if self._unread_since is None else min(self._loop_ran_at, self._unread_since)
            answers = now - self._answered_at <= _ANSWER_VALID_SECONDS
            if answers:
                since = max(since, self._answers_since)
            waits = "broker" if not answers and now - since > 2 * LOOK_SECONDS else None
            return [
                ThreadReport(
                    "smsclick-consumer",
                    alive=True,
                    idle_seconds=now - since,
                    waits_for=waits,
                    beats_within=STALLED_SECONDS,
                )
            ]


process = ConsumerProgress()
"""The progress of this process's consumer. It is a global because Celery makes the consumer, and replaces it."""


def look(app: Any, *, busy: Callable[[], bool], progress: ConsumerProgress = process) -> None:  # noqa: ANN401 - Celery's app
    """Look for unread messages in the queues that this process consumes, if it has received none for a while.

    Args:
        app: the Celery app.
        busy: whether all threads for tasks are in use; then unread messages are normal.
        progress: where the result is noted.
    """
    if not progress.look_due:
        return
    try:
        with app.connection_for_read() as connection, connection.channel() as channel:
            unread = any(_length(channel, name) for name in app.amqp.queues.consume_from)
    except Exception as error:  # noqa: BLE001 - whatever a broker's library raises
        log.debug("broker_unread", error=type(error).__name__)
        progress.looked(answered=False)
    else:
        progress.looked(answered=True, unread=unread and not busy())


def _length(channel: Any, name: str) -> int:  # noqa: ANN401 - kombu's
    if hasattr(channel, "_size"):  # Redis, where queue_declare(passive=True) fails on an empty queue
        return int(channel._size(name))  # noqa: SLF001
    return int(channel.queue_declare(name, passive=True).message_count)
