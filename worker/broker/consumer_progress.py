"""Whether this process's consumer takes messages from the broker: it can stall while the process lives and sends.

A process that waits for a broker that is away is not to blame. So:

- the consumer's loop turns, and consumes from all queues that it should;
- while it has received nothing for a while, a look over a connection of its own finds no unread message in them;
- what is missing counts only for as long as such looks find that the broker answers.

Why: docs/decisions/0043-a-stalled-consumer-is-the-processs-own-fault.md.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from worker.threads.supervision import ThreadReport

log = logging.getLogger(__name__)

LOOK_SECONDS = 15.0
"""How often the broker is looked at while nothing is received."""

STALLED_SECONDS = 60.0
"""From here on a consumer without a mark has stalled."""

_ANSWERS_SECONDS = 3 * LOOK_SECONDS
"""So long after it answered, a broker still counts as one that answers: a look may take its time."""

_TURN_SECONDS = 1.0


class ConsumerProgress:
    """The marks of one process. All methods are cheap, and safe from any thread.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._turned_at: float | None = None
        self._received_at = float("-inf")
        self._unread_since: float | None = None
        self._answers_since = 0.0
        self._answered_at = float("-inf")

    @property
    def wants_turn(self) -> bool:
        """Whether the last turn of the loop was long enough ago that it is worth a check."""
        return self._turned_at is None or self._clock() - self._turned_at >= _TURN_SECONDS

    @property
    def wants_look(self) -> bool:
        """Whether nothing has been received for a while, by a consumer that has begun."""
        return self._turned_at is not None and self._clock() - self._received_at >= LOOK_SECONDS

    def turned(self) -> None:
        """The loop turned and consumes from its queues, or it has just tried to connect."""
        self._turned_at = self._clock()

    def received(self) -> None:
        """A message arrived."""
        with self._lock:
            self._turned_at = self._received_at = self._clock()
            self._unread_since = None

    def looked(self, *, answered: bool, unread: bool = False) -> None:
        """A look at the broker has ended.

        Args:
            answered: whether the broker did.
            unread: whether messages lie in the queues although this process could take some.
        """
        with self._lock:
            now = self._clock()
            if not answered or now - self._answered_at > _ANSWERS_SECONDS:
                self._answers_since = now
            self._answered_at = now if answered else float("-inf")
            if not unread:
                self._unread_since = None
            elif self._unread_since is None and now - self._received_at >= LOOK_SECONDS:
                self._unread_since = now

    def report(self) -> list[ThreadReport]:
        """The consumer as health checks see it; nothing where this process has none."""
        with self._lock:
            if self._turned_at is None:
                return []
            now = self._clock()
            since = self._turned_at if self._unread_since is None else min(self._turned_at, self._unread_since)
            answers = now - self._answered_at <= _ANSWERS_SECONDS
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
"""This process's; Celery makes the consumer, and makes it again."""


def look(app: Any, *, busy: Callable[[], bool], listening: ConsumerProgress = process) -> None:  # noqa: ANN401 - Celery's app
    """See whether unread messages lie in the queues that this process consumes, where it has received none for long.

    Args:
        app: the Celery app.
        busy: whether all threads for tasks are taken, so that unread messages mean nothing.
        listening: where the result goes.
    """
    if not listening.wants_look:
        return
    try:
        with app.connection_for_read() as connection, connection.channel() as channel:
            unread = any(_length(channel, name) for name in app.amqp.queues.consume_from)
    except Exception as error:  # noqa: BLE001 - whatever a broker's library raises
        log.debug("The broker was not looked at. error=%s", type(error).__name__)
        listening.looked(answered=False)
    else:
        listening.looked(answered=True, unread=unread and not busy())


def _length(channel: Any, name: str) -> int:  # noqa: ANN401 - kombu's
    if hasattr(channel, "_size"):  # Redis, where queue_declare(passive=True) fails on an empty queue
        return int(channel._size(name))  # noqa: SLF001
    return int(channel.queue_declare(name, passive=True).message_count)
